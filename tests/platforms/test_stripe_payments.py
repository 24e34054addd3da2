"""Stripe's payments that are authorised first, its credit notes, and the receipts of a session, as its documentation has them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.folding import Order
from demo.simulator.messages import Json, document
from demo.simulator.stripe import (
    COMPLETED_S,
    charge_refunded,
    credit_note_object,
    event,
    intent,
    invoice,
    refund,
    session,
    totals,
)
from tests.platforms.stripe_life import folded, money, read, said

NOON = datetime.fromtimestamp(COMPLETED_S, UTC)

# ── charge.captured, charge.expired, payment_intent.canceled, payment_intent.succeeded: manual capture ───────────────

AUTHORISED = session(payment_status="unpaid")


def captured(amount: int, **fields: Any) -> Json:
    """charge.captured of the documented charge: 49.99 authorised, and what is not captured is released."""
    released = {"amount_captured": amount, "amount_refunded": 4999 - amount, "captured": True}
    return event("charge.captured", {**charge_refunded(0)["data"]["object"], **released, **fields})


def received(got: int, **fields: Any) -> Json:
    """payment_intent.succeeded of the documented session's payment, captured by hand."""
    own = {"id": "pi_123", "currency": "eur", "amount": 4999, "amount_received": got, "capture_method": "manual"}
    return intent(**own | fields)


def both_ways(*events: Json) -> list[Order]:
    """The order that these events make, as they come and the other way round."""
    return [folded(*events), folded(*events[::-1])]


def test_a_payment_that_is_captured_in_full_approves_the_order() -> None:
    for heard in ((captured(4999),), (received(4999),), (captured(4999), received(4999))):
        for order in both_ways(AUTHORISED, *heard):
            assert (order.status, order.net_minor, order.tax_minor, order.refunded_minor) == ("approved", 4000, 999, 0)
            assert (order.order_id, order.occurred_at, order.flags) == (said(AUTHORISED).order_id, NOON, ())


def test_of_a_payment_that_is_captured_in_part_the_order_is_worth_that_part() -> None:
    for heard in (
        (captured(2500),),
        (received(2500),),
        (captured(2500), received(2500)),
        (captured(1000), captured(2500)),
    ):
        for order in both_ways(AUTHORISED, *heard):
            # 25.00 of 49.99, of which 40.00 net and 9.99 tax: to the cent.
            assert (order.status, order.net_minor, order.tax_minor, order.refunded_minor) == ("approved", 2000, 500, 0)
            assert order.items_minor == 2501
            assert order.discount_minor == 501


@pytest.mark.parametrize(
    "method", [{"card": {"capture_method": "manual"}}, {"klarna": None, "card": {"capture_method": "manual"}}]
)
def test_manual_capture_may_be_the_setting_of_one_payment_method(method: Json) -> None:
    paid = received(4999, capture_method="automatic_async", payment_method_options=method)
    assert folded(AUTHORISED, paid).status == "approved"


def test_before_amount_captured_the_charge_told_what_it_released() -> None:
    for order in both_ways(AUTHORISED, captured(2500, amount_captured=None)):
        assert (order.status, order.net_minor) == ("approved", 2000)


def test_what_was_not_captured_is_no_refund() -> None:
    listed = {"data": [refund("re_2", 500)["data"]["object"], refund("re_1", 2499, at_s=COMPLETED_S)["data"]["object"]]}
    so_far = {"amount_captured": 2500, "refunds": listed}
    for heard in ((charge_refunded(2499, amount_captured=2500),), (charge_refunded(2499 + 500, **so_far),)):
        for order in both_ways(AUTHORISED, captured(2500), *heard):
            assert order.refunded_minor == (0 if len(heard[0]["data"]["object"]["refunds"]["data"]) == 0 else 400)


def test_what_was_captured_may_be_refunded_to_the_last_cent() -> None:
    for order in both_ways(AUTHORISED, captured(2500), charge_refunded(4999, amount_captured=2500)):
        assert (order.net_minor, order.refunded_minor, order.flags) == (2000, 2000, ())


def canceled(reason: str = "automatic") -> Json:
    own = {"id": "pi_123", "status": "canceled", "cancellation_reason": reason, "amount_received": 0}
    own |= {"capture_method": "manual"}
    return event("payment_intent.canceled", document("stripe_fixture_payment_intent.json") | own)


def test_a_payment_that_is_cancelled_or_expires_uncaptured_leaves_nothing() -> None:
    uncaptured = {"captured": False, "amount_captured": 0, "refunded": True}
    expired = event("charge.expired", charge_refunded(4999, **uncaptured)["data"]["object"])
    released = charge_refunded(4999, **uncaptured)
    for heard in ((canceled(),), (expired,), (released,), (canceled("requested_by_customer"), expired, released)):
        for order in both_ways(AUTHORISED, *heard):
            assert (order.status, order.net_minor, order.refunded_minor, order.flags) == ("rejected", 4000, 4000, ())
            assert [effect.kind for effect in order.effects] == ["cancellation"]


def test_a_payment_that_never_was_authorised_cancels_nothing() -> None:
    # An invoice that is paid outside of Stripe leaves its payment intent behind, which Stripe then cancels.
    left_behind = canceled("void_invoice")
    left_behind["data"]["object"] |= {"capture_method": "automatic_async"}
    assert read(left_behind).ignored == "not_authorised"


def test_a_payment_of_the_shop_s_own_checkout_counts_as_far_as_it_was_captured() -> None:
    details = {"tax": {"total_tax_amount": 999}}
    for order in both_ways(received(2500, metadata={"code": "LEA10"}, amount_details=details), captured(2500)):
        assert (order.status, order.net_minor, order.tax_minor) == ("approved", 2000, 500)
    # Authorised with a session, and with metadata of its own.
    for order in both_ways(AUTHORISED, received(2500, metadata={"code": "LEA10"})):
        assert (order.status, order.net_minor, order.spellings["1EA10"]) == ("approved", 2000, "LEA10")


def test_a_payment_that_nobody_ordered_here_makes_no_order() -> None:
    for heard in ((captured(2500),), (received(2500), captured(2500)), (canceled(),)):
        assert folded(*heard).status == "stub"


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.data())
def test_parts_of_a_captured_order_add_up_to_what_was_captured(
    net: int, tax: int, shipping: int, data: st.DataObject
) -> None:
    total = net + tax + shipping
    part = data.draw(st.integers(1, total))
    own = {
        "amount_subtotal": net,
        "amount_total": total,
        "total_details": totals(0, tax, shipping),
        "shipping_cost": None,
    }
    order = folded(session(payment_status="unpaid", **own), received(part, amount=total))
    assert order.net_minor is not None
    assert order.net_minor + (order.tax_minor or 0) + (order.shipping_minor or 0) == part
    given_back = refund("re_1", part)
    assert (
        folded(session(payment_status="unpaid", **own), received(part, amount=total), given_back).refunded_minor
        == order.net_minor
    )


# ── credit_note.created, credit_note.voided ──────────────────────────────────────────────────────────────────────────

BILLED = {"id": "in_1", "currency": "eur", "total": 12_000, "total_excluding_tax": 10_000}


def note(kind: str = "created", **fields: Any) -> Json:
    """credit_note.<kind> of half of an invoice of 120.00 with tax, to the customer's balance."""
    thing = credit_note_object("cn_1", "in_1", 6_000, 5_000, COMPLETED_S + 60) | {"total_taxes": None}
    return event(f"credit_note.{kind}", thing | fields)


def test_what_was_credited_before_payment_was_never_sold() -> None:
    credited = invoice(**BILLED, pre_payment_credit_notes_amount=3_600, amount_paid=8_400)
    assert money(said(credited)) == ("EUR", 7_000, 1_400, 0, 8_400)
    assert money(said(invoice(**BILLED, pre_payment_credit_notes_amount=12_000, amount_paid=0))) == ("EUR", 0, 0, 0, 0)
    before = note(type="pre_payment", pre_payment_amount=3_600, post_payment_amount=0, amount=3_600, total=3_600)
    assert read(before).ignored == "nothing_refunded"
    # A later refund of all that was paid.
    paid_by = invoice(**BILLED, pre_payment_credit_notes_amount=3_600, payment_intent="pi_123")
    assert folded(paid_by, refund("re_1", 8_400)).refunded_minor == 7_000


@pytest.mark.parametrize(
    "stated",
    [
        {},
        # Until 2025 a note was of one type, and its tax and its refund stood elsewhere.
        {"pre_payment_amount": None, "post_payment_amount": None, "refunds": None, "refund": None},
        {"total_excluding_tax": None, "total_taxes": [{"amount": 1_000}]},
        {"total_excluding_tax": None, "tax_amounts": [{"amount": 1_000, "inclusive": False}]},
        # No word of tax: its share of what was billed.
        {"total_excluding_tax": None},
        {"customer_balance_transaction": None, "out_of_band_amount": 6_000},
        {"invoice": {"id": "in_1", "object": "invoice"}},
    ],
)  # fmt: skip
def test_a_credit_to_the_customer_s_balance_is_taken_off_a_paid_invoice(stated: Json) -> None:
    for order in both_ways(invoice(**BILLED), note(**stated), note(**stated)):
        assert (order.net_minor, order.refunded_minor, order.flags) == (10_000, 5_000, ())
        [effect] = order.effects
        assert effect.occurred_at == datetime.fromtimestamp(COMPLETED_S + 60, UTC)


def test_a_credit_of_shipping_or_of_what_bears_no_tax_takes_just_that() -> None:
    shipping = {
        "total": 600,
        "amount": 600,
        "post_payment_amount": 600,
        "total_excluding_tax": 500,
        "amount_shipping": 500,
    }
    assert folded(invoice(**BILLED), note(**shipping)).refunded_minor == 0
    assert folded(invoice(**BILLED), note(total_excluding_tax=6_000)).refunded_minor == 6_000


def test_a_credit_note_and_its_refunds_count_once() -> None:
    paid = invoice(**BILLED, payment_intent="pi_123")
    back = refund("re_1", 2_400)
    listed = {"refunds": [{"amount_refunded": 2_400, "refund": "re_1", "type": "refund"}]}
    for order in both_ways(paid, note(**listed), back):
        assert (order.refunded_minor, order.flags) == (5_000, ())
    whole = {"customer_balance_transaction": None, "refunds": [{"amount_refunded": 6_000, "refund": "re_1"}]}
    assert read(note(**whole)).ignored == "nothing_refunded"
    # The form before 2025-03-31: one refund, whose amount is in its own message.
    old = {"refunds": None, "refund": "re_1", "customer_balance_transaction": None, "out_of_band_amount": 3_600}
    for order in both_ways(paid, note(**old), back):
        assert order.refunded_minor == 5_000
    # A refund of a payment outside of Stripe is in no other message.
    outside = [{"amount_refunded": 6_000, "refund": None, "type": "payment_record_refund", "payment_record_refund": {}}]
    assert folded(paid, note(refunds=outside)).refunded_minor == 5_000


def test_of_a_note_that_came_half_before_and_half_after_payment_the_latter_is_given_back() -> None:
    mixed = note(type="mixed", pre_payment_amount=2_400, post_payment_amount=3_600)
    for order in both_ways(invoice(**BILLED, pre_payment_credit_notes_amount=2_400), mixed):
        assert (order.net_minor, order.refunded_minor) == (8_000, 3_000)


def test_a_voided_credit_note_took_nothing() -> None:
    for order in both_ways(invoice(**BILLED), note(), note("voided", status="void")):
        assert order.refunded_minor == 0


@pytest.mark.parametrize("missing", ["id", "invoice", "total"])
def test_a_credit_note_without_a_name_or_an_amount_is_refused(missing: str) -> None:
    assert read(note(**{missing: None, "amount": None})).rejected == "not_an_order"


# ── The receipts of a paid session ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("of_session", "of_invoice"),
    [
        ({"invoice": "in_1"}, {}),
        ({"invoice": None}, {"payment_intent": "pi_123", "charge": "ch_1"}),
        (
            {"invoice": None},
            {"payments": {"data": [{"payment": {"type": "payment_intent", "payment_intent": "pi_123"}}]}},
        ),
    ],
)
def test_the_receipt_of_a_paid_session_is_its_order(of_session: Json, of_invoice: Json) -> None:
    bought = session(**of_session)
    receipt = invoice(
        id="in_1", billing_reason="manual", currency="eur", total=4999, total_excluding_tax=4000, **of_invoice
    )
    paid = intent(
        id="pi_123", currency="eur", amount=4999, amount_received=4999, metadata={"code": "LEA10"}, latest_charge="ch_1"
    )
    assert set(said(bought).refs) & set(said(receipt).refs)
    assert set(said(bought).refs) & set(said(paid).refs)
    for order in both_ways(bought, receipt, paid):
        assert (order.order_id, order.net_minor, order.flags) == (said(bought).order_id, 4000, ())
    for kind in (
        "charge.succeeded",
        "charge.updated",
        "payment_intent.created",
        "invoice.created",
        "invoice.finalized",
    ):
        assert read(event(kind, {"id": "x"})).ignored == "unknown_topic"
