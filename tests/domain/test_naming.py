"""Which reports speak of one order."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.naming import Naming, group


def shop(primary: str, *names: str) -> Naming:
    return Naming((primary.partition(":")[2], *names), primary)


def others(*names: str) -> Naming:
    return Naming(names)


def test_a_pixel_by_number_a_call_by_id_and_the_webhook_that_knows_both_are_one_order() -> None:
    found = group([others("1001"), others("555"), shop("shopify:555", "1001")])
    assert set(found.groups) == {"shopify:555"}
    assert found.ambiguous == frozenset()


def test_two_orders_of_a_shop_system_with_one_number_are_two_and_the_number_means_neither() -> None:
    found = group([shop("shopify:731001", "2001"), shop("shopify:732001", "2001"), others("2001")])
    assert found.groups == ("shopify:731001", "shopify:732001", "2001")
    assert found.ambiguous == {"2001"}
    assert found.owners["731001"] == "shopify:731001"


def test_a_number_that_is_the_id_of_another_order_means_neither() -> None:
    found = group([shop("woocommerce:81004", "1001"), shop("woocommerce:1001", "7"), others("1001"), others("7")])
    assert found.groups == ("woocommerce:81004", "woocommerce:1001", "1001", "woocommerce:1001")


def test_a_payment_that_also_gives_a_clear_name_is_found_by_that() -> None:
    reports = [shop("shopify:1", "2001"), shop("shopify:2", "2001"), others("2001", "pi_1"), others("1", "pi_1")]
    found = group(reports)
    assert found.groups == ("shopify:1", "shopify:2", "shopify:1", "shopify:1")


def test_a_name_that_payments_of_two_orders_give_means_neither() -> None:
    reports = [
        shop("shopify:1"),
        shop("shopify:2"),
        others("1", "pi"),
        others("2", "pi"),
        others("pi"),
        others("pi", "ch"),
    ]
    found = group(reports)
    assert found.groups == ("shopify:1", "shopify:2", "shopify:1", "shopify:2", "pi", "ch")
    assert found.ambiguous == {"pi"}


def test_a_report_that_names_two_orders_belongs_to_the_first_it_names() -> None:
    found = group([shop("shopify:1"), shop("shopify:2"), others("2", "1")])
    assert found.groups[2] == "shopify:2"


def test_without_a_shop_system_a_chain_of_names_is_one_order() -> None:
    found = group([others("b", "c"), others("d"), others("a", "b"), others("c", "d"), others("e")])
    assert found.groups == ("a", "a", "a", "a", "e")
    assert found.owners == {"a": "a", "b": "a", "c": "a", "d": "a", "e": "e"}


def test_no_reports_are_no_orders() -> None:
    assert group([]).groups == ()


NAMES = st.sampled_from(["1", "2", "3", "10", "11", "pi", "ch", "cs"])
NAMINGS = st.one_of(
    st.builds(
        lambda number, names: shop(f"shop:{number}", *names), st.sampled_from("123"), st.lists(NAMES, max_size=2)
    ),
    st.builds(lambda names: Naming(tuple(names)), st.lists(NAMES, min_size=1, max_size=3, unique=True)),
)


@given(st.lists(NAMINGS, max_size=8), st.randoms())
def test_the_order_of_arrival_changes_no_group(reports: list[Naming], random: object) -> None:
    before = group(reports)
    shuffled = list(range(len(reports)))
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    after = group([reports[index] for index in shuffled])
    assert [before.groups[index] for index in shuffled] == list(after.groups)
    assert before.owners == after.owners
    assert before.ambiguous == after.ambiguous


@given(st.lists(NAMINGS, min_size=1, max_size=8))
def test_a_repeated_report_changes_no_group_and_each_primary_name_is_an_order(reports: list[Naming]) -> None:
    found = group([*reports, *reports])
    assert found.groups[: len(reports)] == found.groups[len(reports) :] == group(reports).groups
    for each, order in zip(reports, found.groups, strict=False):
        assert each.primary is None or order == each.primary


@given(st.lists(NAMINGS, min_size=1, max_size=8))
def test_a_clear_name_leads_to_the_group_of_every_report_whose_first_name_it_is(reports: list[Naming]) -> None:
    found = group(reports)
    for each, order in zip(reports, found.groups, strict=True):
        if each.names[0] not in found.ambiguous and each.primary is None:
            assert found.owners[each.names[0]] == order
