"""Slugs: what may stand after the host, and how one is made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.slugs import ALPHABET, RESERVED, check_slug, is_slug, make_slug, mend_slug, near_slugs


@pytest.mark.parametrize(
    ("given_as", "slug"), [("Lea", "lea"), (" LEA-10 ", "lea-10"), ("a_b", "a_b"), ("123", "123"), ("a" * 64, "a" * 64)]
)
def test_a_good_slug_is_stored_in_lower_case(given_as: str, slug: str) -> None:
    assert check_slug(given_as) == slug
    assert is_slug(slug)


NOT_TYPED = ["-abc", "abc-", "a b c", "a/b/c", "a.bc", "é" * 4, "%41bc", "ab\x00c"]


@pytest.mark.parametrize(
    ("slug", "reason"),
    [
        ("", "must have at least 3 characters"),
        (" ab ", "must have at least 3 characters"),
        ("a" * 65, "must have at most 64 characters"),
        *((slug, "may have letters a-z, digits") for slug in NOT_TYPED),
        *(
            (slug, "is a path of the service itself")
            for slug in (
                "p.gif",
                "a.js",
                "healthz",
                "readyz",
                "Metrics",
                "docs",
                "openapi.json",
                "robots.txt",
                "favicon.ico",
                ".well-known",
                "dashboard",
            )
        ),
    ],
)
def test_a_slug_of_ours_or_one_nobody_can_type_is_refused(slug: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_slug(slug)
    assert not is_slug(slug) or slug in RESERVED


def test_the_path_segments_of_the_service_are_reserved_also_where_they_are_too_short_for_a_slug() -> None:
    assert {"e", "in", "v1", "me"} <= RESERVED


@given(st.integers(min_value=0, max_value=2**40 - 1))
def test_a_made_slug_is_short_lower_case_and_acceptable(number: int) -> None:
    slug = make_slug(number)
    assert check_slug(slug) == slug
    assert set(slug) <= set(ALPHABET)
    assert len(slug) <= 12


@given(st.sets(st.integers(min_value=0, max_value=2**40 - 1), min_size=2, max_size=50))
def test_distinct_numbers_give_distinct_slugs(numbers: set[int]) -> None:
    assert len({make_slug(number) for number in numbers}) == len(numbers)


def test_the_slugs_of_some_numbers_are_these_in_every_release() -> None:
    # Another salt or alphabet could give the slug of an existing link to another number.
    assert [make_slug(number) for number in (0, 1, 2**40 - 1)] == ["wme", "pe8", "yx7x8bnq6kk"]


PASTED = [
    "lea10.",
    "lea10,",
    "lea10)",
    "lea10!",
    "lea10…",
    "lea10\u200b",
    "/lea10",
    "//lea10//",
    "lea10&utm_source=ig",
    "lea10?utm_source=ig",
]
PASTED += [
    "“lea10”",
    "‹lea10›",
    "[lea10]",
    " lea10 ",
    "le\u00ada10",
    "léa10",
    "lea10&amp;utm_source=ig",
    "**lea10**",
    "LEA10.",
    "ｌｅａ１０",
]


@pytest.mark.parametrize("path", PASTED)
def test_a_slug_is_found_in_what_people_paste(path: str) -> None:
    assert mend_slug(path) == "lea10"


def test_dashes_become_the_one_that_slugs_have() -> None:
    assert {mend_slug(f"summer{dash}sale") for dash in "\u2010\u2011\u2012–—―−﹣－"} == {"summer-sale"}


@pytest.mark.parametrize(
    "path", ["lea10", "wp-login.php", "docs.", "a/b", "", ".", "é", "x" * 65 + ".", "lea10." + "." * 256, "леа10"]
)
def test_what_holds_no_other_slug_is_not_looked_up_again(path: str) -> None:
    assert mend_slug(path) is None


@given(st.text(max_size=40))
def test_a_mended_slug_is_one_and_needs_no_more_mending(path: str) -> None:
    slug = mend_slug(path)
    if slug is not None:
        assert is_slug(slug)
        assert slug not in RESERVED
        assert mend_slug(slug) is None


def test_a_slug_is_near_those_that_differ_by_one_slip() -> None:
    near = set(near_slugs("lea10."))
    assert {"lea1", "lea100", "lea1o", "lae10", "lea-10", "ea10"} <= near
    assert not {"lea10", "lea", "lea1000", "lea10-"} & near
    assert all(map(is_slug, near))
    assert set(near_slugs("x" * 66)) == set(near_slugs("q")) == set()
