"""Sites of shops, and the names of further shops."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.sites import MAIN, SHOP_CHARACTERS_MAX, SITE_CHARACTERS_MAX, is_of, own_shop, read_site


@pytest.mark.parametrize(
    ("written", "site"),
    [
        ("https://Shop.example/", "shop.example"),
        ("http://www.shop.example", "shop.example"),
        (" launch-day.myshopify.com ", "launch-day.myshopify.com"),
        ("//shop.example:443/", "shop.example"),
        ("https://shop.example:8443", "shop.example:8443"),
        ("https://shop.example/Paris/?lang=fr#top", "shop.example/Paris"),
        ("shop.example/*", "shop.example/*"),
        ("https://boutique-é.example/", "boutique-é.example"),
        ("localhost:8080", "localhost:8080"),
        ("", ""),
        ("https://", ""),
        ("a shop", ""),
        ("x" * (SITE_CHARACTERS_MAX + 1), ""),
    ],
)
def test_a_site_is_compared_without_what_does_not_tell_shops_apart(written: str, site: str) -> None:
    assert read_site(written) == site


@given(st.text(max_size=300))
def test_a_site_as_it_is_compared_is_read_as_itself(text: str) -> None:
    site = read_site(text)
    assert read_site(site) == site or site.startswith("www.")


def test_shops_of_one_host_differ_by_their_path_unless_all_of_it_is_one_shop() -> None:
    assert is_of("shop.example", "shop.example")
    assert not is_of("shop.example/paris", "shop.example")
    assert not is_of("shop.example", "other.example")
    for site in ("shop.example", "shop.example/fr", "shop.example/fr/lyon"):
        assert is_of(site, "shop.example/*")
    assert not is_of("shop.example.rival.example", "shop.example/*")


@pytest.mark.parametrize(
    ("name", "taken", "shop"),
    [
        ("Outlet Paris", (), "outlet-paris"),
        ("L'Été & Co.", (), "l-ete-co"),
        ("woocommerce", ("main", "woocommerce", "woocommerce-2"), "woocommerce-3"),
        ("Main", (), "main-2"),
        ("店", (), "shop"),
        ("x" * 200, (), "x" * SHOP_CHARACTERS_MAX),
    ],
)
def test_a_further_shop_is_called_as_its_source(name: str, taken: tuple[str, ...], shop: str) -> None:
    assert own_shop(name, taken) == shop


@given(st.text(max_size=80), st.lists(st.sampled_from(["shop", "a", "a-2", "main", "x"])))
def test_a_further_shop_is_never_another(name: str, taken: list[str]) -> None:
    assert own_shop(name, taken) not in {MAIN, *taken}
