"""The shop's list against ours: every order once, every difference named, and a waterfall that sums whatever the facts are."""

from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.reconciliation import REASONS, STATUSES, Compared, Listed, Ours, Reconciliation, explain
from app.domain.statuses import STATUSES as ORDER_STATUSES

MINOR = st.integers(0, 300)
MAYBE = st.none() | MINOR
CURRENCY = st.sampled_from(["EUR", "USD"])

LISTED = st.builds(
    Listed, number=st.integers(2, 99), ref=st.sampled_from("abcdefgh"), order_id=st.just("x"), currency=CURRENCY,
    total_minor=MINOR, tax_minor=MAYBE, shipping_minor=MAYBE, refunded_minor=MINOR, cancelled=st.booleans(),
)  # fmt: skip


def compare_all(listed: list[Listed], ours: dict[str, Ours]) -> tuple[list[Compared], Reconciliation]:
    """All of a list against all orders of a span, by their names: a line for every order of either, and the sums."""
    sums = Reconciliation()
    left = {order.id: order for order in ours.values() if order.counted}
    lines = []
    for each in listed:
        order = ours.get(each.ref)
        lines.append(sums.compare(each, order))
        if order is not None:
            left.pop(order.id, None)
    return [*lines, *map(sums.add_unlisted, left.values())], sums


@st.composite
def known_orders(draw: st.DrawFn) -> dict[str, Ours]:
    found = {}
    for name in draw(st.sets(st.sampled_from("abcdefghijkl"))):
        order = draw(
            st.builds(
                Ours, id=st.just(UUID(int=ord(name))), order_id=st.just(name), status=st.sampled_from(ORDER_STATUSES),
                test=st.booleans(), currency=CURRENCY, net_minor=MAYBE, refunded_minor=st.just(0), tax_minor=MAYBE,
                shipping_minor=MAYBE, discount_minor=MAYBE, flags=st.sampled_from([(), ("unsigned",)]),
            )
        )  # fmt: skip
        refunded = draw(st.integers(0, order.net_minor or 0))
        found[name] = Ours(
            **{field: getattr(order, field) for field in Ours.__dataclass_fields__} | {"refunded_minor": refunded}
        )
    return found


@given(st.lists(LISTED, unique_by=lambda each: each.ref), known_orders(), st.integers(0, 2))
def test_the_waterfall_always_sums_and_every_order_stands_once(
    listed: list[Listed], known: dict[str, Ours], credited: int
) -> None:
    known = {
        name: Ours(
            **{field: getattr(order, field) for field in Ours.__dataclass_fields__}
            | {"attributed_minor": order.left_minor * credited // 2}
        )
        for name, order in known.items()
    }
    lines, sums = compare_all(listed, known)
    for currency, fall in sums.waterfalls.items():
        assert sum(minor for _, minor in fall.steps()) == fall.all_orders_net_minor
        counted = [order for order in known.values() if order.counted and order.currency == currency]
        assert fall.all_orders_net_minor == sum(order.left_minor for order in counted)
        assert fall.attributed_minor == sum(order.attributed_minor for order in counted)
        assert fall.shop_total_minor == sum(each.total_minor for each in listed if each.currency == currency)
    assert [line.listed for line in lines if line.listed] == listed
    unlisted = {line.ours.order_id for line in lines if not line.listed and line.ours}
    assert unlisted == {name for name, order in known.items() if order.counted} - {each.ref for each in listed}
    for line in lines:
        assert line.status in STATUSES
        assert line.reason in REASONS
        if line.status == "different" and line.reason != "currency":
            assert line.listed
            assert line.ours
            assert sum(line.parts.values()) == line.listed.left_minor - line.ours.left_minor != 0
            assert set(line.parts) <= set(REASONS)


def listed(**fields: object) -> Listed:
    return Listed(**{"number": 2, "ref": "1", "order_id": "1", "currency": "EUR", "total_minor": 12_000, **fields})  # type: ignore[arg-type]


def ours_with(**fields: object) -> Ours:
    plain = {
        "id": UUID(int=1),
        "order_id": "1",
        "status": "approved",
        "test": False,
        "currency": "EUR",
        "net_minor": 10_000,
    }
    return Ours(**{**plain, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("there", "here", "parts"),
    [
        ({}, {"tax_minor": 2_000}, {"tax": 2_000}),
        ({"tax_minor": 2_000}, {"net_minor": 12_000}, {"tax": -2_000}),
        ({}, {"tax_minor": 1_500, "shipping_minor": 500}, {"tax": 1_500, "shipping": 500}),
        ({"tax_minor": 2_000, "total_minor": 12_500}, {"discount_minor": 500}, {"discount": 500}),
        ({"tax_minor": 2_000, "refunded_minor": 3_000}, {}, {"refund": -3_000}),
        ({"tax_minor": 2_000, "cancelled": True}, {"refunded_minor": 4_000}, {"refund": -6_000}),
        ({"tax_minor": 2_000}, {"refunded_minor": 4_000}, {"refund": 4_000}),
        ({"tax_minor": 2_000, "refunded_minor": 3_999}, {"refunded_minor": 4_000}, {"rounding": 1}),
        ({"tax_minor": 1_999, "refunded_minor": 3_999}, {"refunded_minor": 4_000}, {"rounding": 2}),
        ({"tax_minor": 1_999}, {}, {"rounding": 1}),
        ({"tax_minor": 2_000, "total_minor": 12_777}, {}, {"unexplained": 777}),
        ({"tax_minor": 2_000}, {"tax_minor": 1_900, "net_minor": 10_100}, {"tax": -100}),
        ({"tax_minor": 2_000}, {"net_minor": None}, {"amount_unknown": 10_000}),
        ({"refunded_minor": 1_000}, {"tax_minor": 2_000}, {"tax": 2_000, "refund": -1_000}),
    ],
)
def test_a_difference_is_explained(there: dict[str, object], here: dict[str, object], parts: dict[str, int]) -> None:
    assert explain(listed(**there), ours_with(**here)) == parts


def test_a_full_refund_of_the_list_contains_tax_and_shipping_and_still_matches() -> None:
    [line], _ = compare_all([listed(tax_minor=2_000, refunded_minor=12_000)], {"1": ours_with(refunded_minor=10_000)})
    assert (line.status, line.reason) == ("matched", "equal")


@pytest.mark.parametrize(
    ("here", "reason"),
    [(None, "never_received"), ({"test": True}, "test"), ({"status": "unverified"}, "unverified"), ({"status": "stub"}, "only_refunds")],
)  # fmt: skip
def test_an_order_missing_here_has_a_reason(here: dict[str, object] | None, reason: str) -> None:
    ours = {} if here is None else {"1": ours_with(**here)}
    [line], sums = compare_all([listed()], ours)
    assert (line.status, line.reason) == ("missing_here", reason)
    assert sums.waterfalls["EUR"].missing_here == {reason: 12_000}
    [cancelled], _ = compare_all([listed(cancelled=True)], ours)
    assert (cancelled.status, cancelled.reason) == ("matched", "nothing_to_count")


def test_every_reason_stands_in_the_docs() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "reconcile.md").read_text()
    assert [reason for reason in REASONS if f"`{reason}`" not in page] == []


# ── Every figure ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_figures_are_the_sums_and_the_steps_that_lead_from_the_shop_to_us() -> None:
    sums = Reconciliation()
    sums.compare(
        listed(tax_minor=2_000, shipping_minor=500, refunded_minor=500),
        ours_with(net_minor=9_500, refunded_minor=500, attributed_minor=4_000),
    )
    sums.compare(listed(ref="2", total_minor=700, tax_minor=100), None, "rejected_delivery")
    sums.compare(listed(ref="3", total_minor=300), ours_with(net_minor=320))
    sums.compare(listed(ref="4", total_minor=50), ours_with(status="rejected"))
    sums.add_unlisted(ours_with(net_minor=80, refunded_minor=10, attributed_minor=70))
    sums.add_unlisted(ours_with(net_minor=5, flags=("late_click", "unsigned")))
    assert sums.waterfalls["EUR"].figures() == {
        "currency": "EUR",
        "shop_total_minor": 13_050,
        "tax_minor": 2_100,
        "shipping_minor": 500,
        "refunds_minor": 500,
        "all_orders_net_minor": 9_395,
        "missing_here_minor": 650,
        "missing_there_minor": 75,
        "differences_minor": -20,
        "unattributed_minor": 5_325,
        "attributed_minor": 4_070,
        "steps": [
            {"step": "shop_total", "minor": 13_050},
            {"step": "tax", "minor": -2_100},
            {"step": "shipping", "minor": -500},
            {"step": "refunds", "minor": -500},
            {"step": "missing_here.rejected", "minor": -50},
            {"step": "missing_here.rejected_delivery", "minor": -600},
            {"step": "missing_there.not_listed", "minor": 70},
            {"step": "missing_there.only_unsigned", "minor": 5},
            {"step": "differences.unexplained", "minor": 20},
        ],
    }
    assert sums.reasons == {
        ("matched", "equal"): 1, ("missing_here", "rejected_delivery"): 1, ("different", "unexplained"): 1,
        ("missing_here", "rejected"): 1, ("missing_there", "not_listed"): 1, ("missing_there", "only_unsigned"): 1,
    }  # fmt: skip


def test_an_order_in_two_currencies_differs_by_all_of_it_in_both() -> None:
    sums = Reconciliation()
    there, here = listed(total_minor=1_000), ours_with(currency="USD", net_minor=1_100, attributed_minor=1_100)
    assert sums.compare(there, here) == Compared("different", "currency", there, here)
    assert sums.waterfalls["EUR"].differences == {"currency": 1_000}
    assert sums.waterfalls["USD"].differences == {"currency": -1_100}
    assert (sums.waterfalls["USD"].all_orders_net_minor, sums.waterfalls["USD"].attributed_minor) == (1_100, 1_100)
    assert sums.waterfalls["EUR"].all_orders_net_minor == 0
    # What is not counted here is missing, whatever its currency.
    line = sums.compare(listed(total_minor=1_000), ours_with(currency="USD", test=True))
    assert (line.status, line.reason) == ("missing_here", "test")
    assert sums.waterfalls["EUR"].missing_here == {"test": 1_000}


def test_a_line_holds_both_orders_and_the_parts_of_their_difference() -> None:
    there, here = listed(), ours_with(tax_minor=1_500, shipping_minor=500)
    assert Reconciliation().compare(there, here) == Compared(
        "different", "several", there, here, {"tax": 1_500, "shipping": 500}
    )
    assert Reconciliation().compare(there, None) == Compared("missing_here", "never_received", there, None)
    here = ours_with(net_minor=12_000)
    assert Reconciliation().compare(there, here) == Compared("matched", "equal", there, here)
    assert Reconciliation().add_unlisted(here) == Compared("missing_there", "not_listed", None, here)
    free, test = listed(total_minor=0), ours_with(test=True)
    assert Reconciliation().compare(free, test) == Compared("matched", "nothing_to_count", free, test)
    assert Reconciliation().compare(there, test) == Compared("missing_here", "test", there, test)


def test_a_listed_order_is_worth_its_net_less_what_was_refunded_of_it() -> None:
    order = listed(tax_minor=2_000, shipping_minor=1_000, refunded_minor=500)
    assert (order.net_minor, order.refund_minor, order.left_minor) == (9_000, 500, 8_500)
    order = listed(refunded_minor=500, cancelled=True)
    assert (order.net_minor, order.refund_minor, order.left_minor) == (12_000, 12_000, 0)


def test_an_order_counts_here_by_its_status_unless_it_is_a_test() -> None:
    for status in ORDER_STATUSES:
        counted = status in ("pending", "approved", "locked", "paid")
        order = ours_with(status=status, refunded_minor=1_000)
        assert (order.counted, order.left_minor) == (counted, 9_000 if counted else 0)
        assert not ours_with(status=status, test=True).counted
    assert ours_with(net_minor=None).left_minor == 0


@pytest.mark.parametrize(
    ("there", "here", "parts"),
    [
        ({"total_minor": 10_002}, {}, {"rounding": 2}),
        ({"total_minor": 9_998}, {}, {"rounding": -2}),
        ({"total_minor": 10_003}, {}, {"unexplained": 3}),
        ({"total_minor": 9_997}, {}, {"unexplained": -3}),
        ({"total_minor": 10_000}, {}, {}),
        # One cause is a better explanation than two, and an exact one than a rounding.
        ({"total_minor": 10_500}, {"tax_minor": 300, "shipping_minor": 200, "discount_minor": 500}, {"discount": 500}),
        ({"total_minor": 10_002}, {"tax_minor": 2}, {"tax": 2}),
        ({"total_minor": 9_500}, {"discount_minor": 500}, {"discount": -500}),
        ({"total_minor": 12_100, "shipping_minor": 100}, {"net_minor": 11_900, "shipping_minor": 200}, {"shipping": 100}),
        ({"total_minor": 12_300, "shipping_minor": 300}, {"net_minor": 11_900, "shipping_minor": 200}, {"shipping": 100}),
        ({"total_minor": 12_300, "shipping_minor": 300}, {"net_minor": 12_300}, {"shipping": -300}),
        ({"total_minor": 10_000}, {"net_minor": None, "refunded_minor": 5}, {"amount_unknown": 10_000, "refund": 5}),
    ],
)  # fmt: skip
def test_the_fewest_causes_that_sum_to_a_difference_explain_it(
    there: dict[str, object], here: dict[str, object], parts: dict[str, int]
) -> None:
    assert explain(listed(**there), ours_with(**here)) == parts


def test_statuses_and_absences_are_the_words_of_the_result() -> None:
    assert " ".join(STATUSES) == "matched different missing_here missing_there"
    assert all(REASONS.values())
