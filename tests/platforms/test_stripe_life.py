"""An order's life at Stripe, told in any order and any number of times: one state, and money that adds up to the minor unit in every currency."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.folding import Order
from app.platforms.stripe.amounts import stripe_exponent, to_iso
from demo.simulator.messages import Json
from demo.simulator.stripe import COMPLETED_S, charge_refunded, dispute, event, intent, invoice, refund, session, totals
from tests.platforms.stripe_life import PROMO, folded

CURRENCIES = ("EUR", "JPY", "ISK", "KWD", "UGX", "MGA")


def life(currency: str, net: int, tax: int, shipping: int, first: int, second: int) -> dict[str, Json]:
    """Everything Stripe tells of one order of a subscription: bought, paid, refunded twice, once in vain, disputed and won. In Stripe's units."""
    total = net + tax + shipping
    said: dict[str, Any] = {"currency": currency.lower()}
    return {
        "session": session(
            amount_subtotal=net, amount_total=total, total_details=totals(0, tax, shipping), invoice="in_1", mode="subscription", **said
        ),
        "invoice": invoice(id="in_1", total=total, total_excluding_tax=total - tax, amount_shipping=shipping, **said),
        "intent": intent(id="pi_123", amount_received=total, metadata={"click_id": "clk_1"}, **said),
        "which paid": event("invoice_payment.paid", {"invoice": "in_1", "payment": {"type": "payment_intent", "payment_intent": "pi_123"}}),
        "refund 1": refund("re_1", first, **said),
        "refund 1 again": refund("re_1", first, "refund.updated", **said),
        "sum after 1": charge_refunded(first, **said),
        "refund 2": refund("re_2", second, at_s=COMPLETED_S + 1800, **said),
        "sum after 2": charge_refunded(first + second, at_s=COMPLETED_S + 1801, **said),
        "refund 3": refund("re_3", 1, at_s=COMPLETED_S + 2000, **said),
        "sum after 3": charge_refunded(first + second + 1, at_s=COMPLETED_S + 2000, **said),
        "refund 3 failed": refund("re_3", 1, "refund.failed", status="failed", at_s=COMPLETED_S + 2000, **said),
        "dispute": dispute("needs_response", "created", total, **said),
        "dispute won": dispute("won", "closed", total, **said),
    }  # fmt: skip


amounts = st.tuples(st.integers(100, 10**6), st.integers(0, 10**5), st.integers(0, 10**4))
WHOLE = {"ISK": 100, "UGX": 100}
"""Stripe charges multiples of these alone."""


@st.composite
def lives(draw: st.DrawFn) -> tuple[str, int, dict[str, Json], int, int]:
    """A currency, the net in ISO minor units, the events, and the refunds that stayed: their sum and the total, both in Stripe's units."""
    currency = draw(st.sampled_from(CURRENCIES))
    unit = WHOLE.get(currency, 1)
    net, tax, shipping = (amount * unit for amount in draw(amounts))
    total = net + tax + shipping
    first = draw(st.integers(1, total // 3 // unit)) * unit
    second = draw(st.integers(1, total // 3 // unit)) * unit
    return currency, to_iso(net, currency), life(currency, net, tax, shipping, first, second), first + second, total


@given(lives(), st.data())
def test_any_permutation_and_repetition_ends_in_one_state(
    told: tuple[str, int, dict[str, Json], int, int], data: st.DataObject
) -> None:
    currency, net, events, given_back, total = told
    once = folded(*events.values())
    arrivals = data.draw(st.permutations([*events, *data.draw(st.lists(st.sampled_from(sorted(events)), max_size=6))]))
    again = folded(*(events[name] for name in arrivals))
    assert again == once
    assert (once.currency, once.net_minor, once.status, once.order_id) == (
        currency,
        net,
        "approved",
        events["session"]["data"]["object"]["id"],
    )
    assert once.refunded_minor == (2 * given_back * net + total) // (2 * total)
    assert once.refunded_minor == sum(effect.amount_minor for effect in once.effects)
    assert once.flags == ()


@given(lives(), st.data())
def test_it_does_not_matter_which_of_them_a_shop_selected(
    told: tuple[str, int, dict[str, Json], int, int], data: st.DataObject
) -> None:
    """Refunds by themselves, sums by themselves, or both; the first words of the order from any of the three that know its tax."""
    _, net, events, given_back, total = told
    heard = data.draw(st.sampled_from(["session", "invoice"]))
    by_refund = ["refund 1", "refund 2"]
    by_sum = ["sum after 1", "sum after 2"]
    states: list[Order] = [
        folded(events[heard], *(events[name] for name in names))
        for names in (
            by_refund,
            by_sum,
            by_sum[1:],
            [*by_refund, *by_sum],
            [*by_refund, *by_sum, "refund 3", "sum after 3", "refund 3 failed"],
        )
    ]
    assert {state.refunded_minor for state in states} == {(2 * given_back * net + total) // (2 * total)}


@pytest.mark.parametrize("currency", CURRENCIES)
def test_what_is_wholly_refunded_or_lost_leaves_nothing(currency: str) -> None:
    unit = WHOLE.get(currency, 1)
    events = life(currency, 3_333 * unit, 667 * unit, 99 * unit, 1_000 * unit, 3_099 * unit)
    for names in (("refund 1", "refund 2"), ("sum after 2",), ("refund 1", "sum after 2", "refund 2")):
        order = folded(events["session"], *(events[name] for name in names))
        assert order.net_minor == order.refunded_minor == to_iso(3_333 * unit, currency)
    lost = folded(
        events["session"], events["dispute"], dispute("lost", "closed", 4_099 * unit, currency=currency.lower())
    )
    assert lost.refunded_minor == lost.net_minor
    assert stripe_exponent(currency) in (0, 2, 3)


def test_the_code_s_id_stays_with_the_order() -> None:
    assert folded(*life("EUR", 100, 0, 0, 1, 1).values()).signals.code_ids == (PROMO,)
