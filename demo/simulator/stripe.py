"""Stripe: checkout sessions, invoices, refunds and disputes over its own fixtures.

The builders return events as JSON; `**fields` replace fields of the event's object. A session names the promotion code by an id that only Stripe
knows. Refunds are parts of what was paid, VAT and shipping included: some accounts send them one by one, some as the sum on the charge, some both.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from demo.simulator.carts import Cart, cumulative_shares, first_part
from demo.simulator.messages import Json, Message, document, hmac_sha256, post, unix_s
from demo.simulator.orders import Evidence, ExpectedRefund, Order, Shop, Simulation, in_any_order

COMPLETED_S = 1_795_305_134
"""When the documented session was completed, as Unix time."""


def sign(message: Message, secret: str, at: datetime) -> Message:
    """Stripe-Signature over the time and the body."""
    return _sign(message, (secret,), at)


def sign_while_rolled(message: Message, secret: str, at: datetime) -> Message:
    """Stripe-Signature with the former secret's signature before that of the new one, as while a secret is rolled."""
    return _sign(message, ("whsec_the_one_before", secret), at)


def _sign(message: Message, secrets: Sequence[str], at: datetime) -> Message:
    signed = f"{unix_s(at)}.".encode() + message.body
    value = ",".join([f"t={unix_s(at)}", *(f"v1={hmac_sha256(secret, signed).hex()}" for secret in secrets)])
    return message.with_headers({"Stripe-Signature": value})


# ── Events over the fixtures ─────────────────────────────────────────────────────────────────────────────────────────


def event(kind: str, thing: Json, *, at_s: int = COMPLETED_S, **fields: Any) -> Json:
    """An event about this object; `**fields` replace fields of the event itself."""
    return {
        "id": f"evt_{kind}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": at_s,
        "livemode": True,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
        "data": {"object": thing},
        **fields,
    }


def session(kind: str = "completed", **fields: Any) -> Json:
    """checkout.session.<kind>: 49.99 EUR, of which 9.99 tax; 10.00 off by a promotion code."""
    return event(f"checkout.session.{kind}", session_object(**fields))


def session_object(**fields: Any) -> Json:
    """The documented session, without metadata and reference."""
    found = document("stripe_event_checkout_session_completed.json")["data"]["object"]
    return {**found, "metadata": {}, "client_reference_id": None, **fields}


def totals(discount: int = 0, tax: int = 0, shipping: int | None = 0) -> Json:
    """total_details of a session."""
    return {"amount_discount": discount, "amount_tax": tax, "amount_shipping": shipping}


def invoice(**fields: Any) -> Json:
    """invoice.paid of Stripe's fixture: 10.00 USD, no tax."""
    return event("invoice.paid", invoice_object(**fields))


def invoice_object(**fields: Any) -> Json:
    """A paid invoice of 10.00 USD."""
    found = document("stripe_fixture_invoice.json")
    return found | {"status": "paid", "amount_paid": 1000, "amount_remaining": 0} | fields


def intent(**fields: Any) -> Json:
    """payment_intent.succeeded of Stripe's fixture: 10.99 USD."""
    found = document("stripe_fixture_payment_intent.json") | {"status": "succeeded", "amount_received": 1099}
    return event("payment_intent.succeeded", found | fields)


def charge_refunded(so_far: int, *, at_s: int = COMPLETED_S + 900, **fields: Any) -> Json:
    """charge.refunded with the sum of all refunds so far."""
    found = document("stripe_event_charge_refunded_partial.json")
    found["data"]["object"] |= {"amount_refunded": so_far, **fields}
    return found | {"created": at_s, "livemode": True}


def refund(
    refund_id: str, amount: int, kind: str = "refund.created", *, at_s: int = COMPLETED_S + 900, **fields: Any
) -> Json:
    """A refund of the documented charge."""
    return event(kind, refund_object(refund_id, amount, at_s, **fields), at_s=at_s)


def refund_object(refund_id: str, amount: int, created_s: int, **fields: Any) -> Json:
    """A refund in EUR."""
    found = document("stripe_fixture_refund.json") | {"id": refund_id, "amount": amount, "created": created_s}
    return found | {"currency": "eur", "payment_intent": "pi_123"} | fields


def dispute(
    status: str, kind: str = "closed", amount: int = 4999, *, at_s: int = COMPLETED_S + 9000, **fields: Any
) -> Json:
    """charge.dispute.<kind> of the documented charge."""
    thing = {
        "id": "dp_1", "object": "dispute", "amount": amount, "currency": "eur", "charge": "ch_1PgafuB7WZ01zgkWXYmPNZs8",
        "payment_intent": "pi_123", "status": status, "reason": "fraudulent", "created": COMPLETED_S + 8000, "livemode": True,
    }  # fmt: skip
    return event(f"charge.dispute.{kind}", thing | fields, at_s=at_s)


def credit_note_object(note_id: str, invoice_id: str, amount: int, net: int, created_s: int, **fields: Any) -> Json:
    """A credit note of a paid invoice, to the customer's balance."""
    return {
        "id": note_id, "object": "credit_note", "invoice": invoice_id, "currency": "eur", "status": "issued", "type": "post_payment",
        "amount": amount, "total": amount, "total_excluding_tax": net, "subtotal": net, "amount_shipping": 0, "shipping_cost": None,
        "total_taxes": [{"amount": amount - net, "tax_behavior": "exclusive", "type": "tax_rate_details"}], "pre_payment_amount": 0,
        "post_payment_amount": amount, "out_of_band_amount": None, "refunds": [], "customer_balance_transaction": f"cbtxn_{note_id}",
        "memo": None, "created": created_s, "effective_at": created_s, "livemode": True, **fields,
    }  # fmt: skip


def sale(cart: Cart, at: datetime, code: str) -> Message:
    """checkout.session.completed of a paid order, with the code as it was typed in the metadata."""
    own = {"id": f"cs_live_{cart.number}", "payment_intent": f"pi_{cart.number}", "metadata": {"code": code}}
    thing = session_object(**_amounts(cart), **own, discounts=[])
    return post(event("checkout.session.completed", thing, at_s=unix_s(at), id=f"evt_{cart.number}"))


def _amounts(cart: Cart) -> Json:
    paid = cart.totals()
    return {
        "currency": cart.currency.lower(),
        "amount_subtotal": paid["lines"],
        "amount_total": paid["total"],
        "total_details": totals(paid["discount"], paid["tax"], cart.shipping_minor),
    }


# ── An order of the demo ─────────────────────────────────────────────────────────────────────────────────────────────


def simulate(order: Order, evidence: Evidence) -> Simulation:
    """The session or invoice, and what was refunded of its payment."""
    messages = _invoice(order, evidence) if _is_renewal(order) else _session(order, evidence)
    returned, expected = _returned(order)
    never_paid = order.outcome in ("payment_failed", "not_captured")
    return Simulation(_order_id(order), in_any_order(*messages, *returned), expected, _net_of_part(order), never_paid)


def _net_of_part(order: Order) -> int | None:
    """What the order is worth where only a part of it was captured, or the rest credited before its payment; None elsewhere."""
    if order.outcome not in ("captured_in_part", "credited_before"):
        return None
    paid = order.cart.totals()
    return first_part(_part(order), (order.cart.net_minor(), paid["tax"], order.cart.shipping_minor))


def _part(order: Order) -> int:
    """What is captured, or left to pay."""
    return _total(order) * (order.number % 7 + 1) // 8


def _is_renewal(order: Order) -> bool:
    if order.outcome in ("credited_before", "credited_to_balance"):
        return True
    return order.number % 5 == 0 and order.outcome in ("kept", "line_returned", "lines_returned", "all_returned")


def _order_id(order: Order) -> str:
    return (
        f"ST-{order.number}" if order.number % 2 else f"in_{order.number}" if _is_renewal(order) else _session_id(order)
    )


def _session_id(order: Order) -> str:
    return f"cs_live_a1LaunchDay{order.number}"


def _intent_id(order: Order) -> str:
    return f"pi_LaunchDay{order.number}"


def _total(order: Order) -> int:
    return order.cart.totals()["total"]


def _metadata(order: Order, evidence: Evidence) -> dict[str, str]:
    number = {"order_id": _order_id(order)} if order.number % 2 else {}
    click = {} if evidence.click_id is None or order.number % 4 < 2 else {"click_id": evidence.click_id}
    return number | click


def _session(order: Order, evidence: Evidence) -> list[Message]:
    thing = session_object(**_amounts(order.cart)) | {
        "id": _session_id(order),
        "livemode": not order.test,
        "shipping_cost": None,
        "client_reference_id": evidence.click_id if order.number % 4 < 2 else f"cart-{order.number}",
        "customer": f"cus_{order.number}",
        "customer_details": {"email": f"customer{order.number}@example.com"},
        "metadata": _metadata(order, evidence),
        "payment_intent": _intent_id(order),
        "discounts": [],
    }
    _redeem(thing, order, evidence)
    authorised = order.outcome in ("captured", "captured_in_part", "not_captured")
    late = order.outcome == "payment_failed" or (order.outcome == "kept" and order.number % 7 == 1)
    first = thing | {"payment_status": "unpaid"} if late or authorised else thing
    events = [_event(order, "checkout.session.completed", first, order.at)]
    if order.outcome == "payment_failed":
        events.append(_event(order, "checkout.session.async_payment_failed", first, order.returned_at[0]))
    elif late:
        events.append(_event(order, "checkout.session.async_payment_succeeded", thing, order.returned_at[0]))
    return events


def _redeem(thing: Json, order: Order, evidence: Evidence) -> None:
    """The promotion code in each of the shapes that the API has had."""
    if evidence.promotion_id is None:
        return
    match order.number % 3:
        case 0:
            thing["discounts"] = [{"coupon": None, "promotion_code": evidence.promotion_id}]
        case 1:
            promotion = {"id": evidence.promotion_id, "object": "promotion_code", "code": evidence.code, "active": True}
            thing["discounts"] = [{"coupon": {"id": "cpn_launch"}, "promotion_code": promotion}]
        case _:
            discount = {
                "object": "discount",
                "promotion_code": evidence.promotion_id,
                "source": {"coupon": "cpn_launch"},
            }
            amount = order.cart.totals()["discount"]
            thing["total_details"]["breakdown"] = {"discounts": [{"amount": amount, "discount": discount}], "taxes": []}


def _invoice(order: Order, evidence: Evidence) -> list[Message]:
    """A period of a subscription, and since 2025 the message of its own that says which payment paid it."""
    paid, invoice_id = order.cart.totals(), f"in_{order.number}"
    left = _part(order) if order.outcome == "credited_before" else paid["total"]
    subscribed = {} if evidence.click_id is None else {"click_id": evidence.click_id}
    thing = invoice_object() | {
        "id": invoice_id,
        "livemode": not order.test,
        "status": "paid",
        "billing_reason": "subscription_cycle",
        "currency": order.cart.currency.lower(),
        "customer": f"cus_{order.number}",
        "customer_email": f"customer{order.number}@example.com",
        "subtotal": paid["lines"],
        "total": paid["total"],
        "amount_due": left,
        "amount_paid": left,
        "pre_payment_credit_notes_amount": paid["total"] - left,
        "post_payment_credit_notes_amount": 0,
        "amount_shipping": order.cart.shipping_minor,
        "shipping_cost": None,
        "total_excluding_tax": paid["total"] - paid["tax"],
        "total_taxes": [{"amount": paid["tax"], "tax_behavior": "exclusive", "type": "tax_rate_details"}],
        "status_transitions": {"finalized_at": unix_s(order.at), "paid_at": unix_s(order.at)},
        "metadata": {"order_id": _order_id(order)} if order.number % 2 else {},
        "parent": {"subscription_details": {"metadata": subscribed, "subscription": f"sub_{order.number}"}},
    }
    if evidence.promotion_id is not None:
        thing["discounts"] = [{"id": "di_1", "object": "discount", "promotion_code": evidence.promotion_id}]
    payment = {
        "id": f"inpay_{order.number}",
        "object": "invoice_payment",
        "invoice": invoice_id,
        "amount_paid": left,
        "livemode": not order.test,
        "payment": {"type": "payment_intent", "payment_intent": _intent_id(order)},
        "status": "paid",
    }
    return [_event(order, "invoice.paid", thing, order.at), _event(order, "invoice_payment.paid", payment, order.at)]


def _returned(order: Order) -> tuple[list[Message], tuple[ExpectedRefund, ...]]:
    net, total, first = order.cart.net_minor(), _total(order), order.returned_at[0]
    match order.outcome:
        case "line_returned" | "lines_returned":
            amounts = [order.cart.charged_minor(index) for index in order.returned_lines]
            times = [order.returned_at[index] for index in order.returned_lines]
            parts = cumulative_shares(amounts, net, total)
            return _refunds(order, amounts, times), tuple(map(ExpectedRefund, parts, times))
        case "all_returned":
            return _refunds(order, [total], [first]), (ExpectedRefund(net, first),)
        case "refund_failed":
            made = _refund(order, 0, total, first)
            failed = {**made, "status": "failed", "failure_reason": "expired_or_canceled_card"}
            return [
                _event(order, "refund.created", made, first),
                _event(order, "refund.failed", failed, order.returned_at[1]),
            ], ()
        case "chargeback":
            return [_dispute(order, "created", "needs_response", first)], (ExpectedRefund(net, first),)
        case "chargeback_won":
            return [
                _dispute(order, "created", "needs_response", first),
                _dispute(order, "funds_withdrawn", "under_review", first),
                _dispute(order, "closed", "won", order.returned_at[1]),
            ], ()
        case "payment_failed":
            return [], (ExpectedRefund(net, first),)
        case "captured":
            return _captured(order, total, first), ()
        case "captured_in_part":
            return _captured(order, _part(order), first), ()
        case "not_captured":
            return _given_up(order, first), (ExpectedRefund(net, first),)
        case "credited_to_balance":
            return _credited(order), order.line_refunds()
    return [], ()


def _captured(order: Order, amount: int, at: datetime) -> list[Message]:
    """Both messages of a capture; what was not captured is released, and stands in the charge's `amount_refunded`."""
    charge = _charge(order, _total(order) - amount) | {"amount_captured": amount, "captured": True}
    intent = _held(order) | {"status": "succeeded", "amount_received": amount}
    return [_event(order, "charge.captured", charge, at), _event(order, "payment_intent.succeeded", intent, at)]


def _given_up(order: Order, at: datetime) -> list[Message]:
    charge = _charge(order, _total(order)) | {"amount_captured": 0, "captured": False}
    intent = _held(order) | {"status": "canceled", "amount_received": 0, "cancellation_reason": "automatic"}
    return [_event(order, "payment_intent.canceled", intent, at), _event(order, "charge.expired", charge, at)]


def _held(order: Order) -> Json:
    """The payment intent of an order that is authorised first."""
    found: Json = document("stripe_fixture_payment_intent.json") | {
        "id": _intent_id(order),
        "livemode": not order.test,
        "amount": _total(order),
        "amount_capturable": 0,
        "capture_method": "manual",
        "currency": order.cart.currency.lower(),
        "latest_charge": f"ch_LaunchDay{order.number}",
        "metadata": {},
    }
    return found


def _credited(order: Order) -> list[Message]:
    """A credit note to the customer's balance for each line that is returned."""
    return [
        _event(
            order,
            "credit_note.created",
            credit_note_object(
                f"cn_LaunchDay{order.number}_{index}",
                f"in_{order.number}",
                order.cart.charged_minor(index),
                order.cart.net_minor(index),
                unix_s(order.returned_at[index]),
                currency=order.cart.currency.lower(),
                livemode=not order.test,
            ),
            order.returned_at[index],
        )
        for index in order.returned_lines
    ]


def _refunds(order: Order, amounts: Sequence[int], times: Sequence[datetime]) -> list[Message]:
    messages, sum_so_far = [], 0
    for index, (amount, at) in enumerate(zip(amounts, times, strict=True)):
        sum_so_far += amount
        if order.number % 3 != 1:
            messages.append(_event(order, "refund.created", _refund(order, index, amount, at), at))
        if order.number % 3 != 0:
            messages.append(_event(order, "charge.refunded", _charge(order, sum_so_far), at))
    return messages


def _refund(order: Order, index: int, amount: int, at: datetime) -> Json:
    return refund_object(
        f"re_LaunchDay{order.number}_{index}",
        amount,
        unix_s(at),
        charge=f"ch_LaunchDay{order.number}",
        currency=order.cart.currency.lower(),
        payment_intent=_intent_id(order),
    )


def _charge(order: Order, refunded: int) -> Json:
    charge: Json = document("stripe_event_charge_refunded_partial.json")["data"]["object"] | {
        "id": f"ch_LaunchDay{order.number}",
        "livemode": not order.test,
        "amount": _total(order),
        "amount_captured": _total(order),
        "amount_refunded": refunded,
        "refunded": refunded == _total(order),
        "currency": order.cart.currency.lower(),
        "payment_intent": _intent_id(order),
    }
    return charge


def _dispute(order: Order, kind: str, status: str, at: datetime) -> Message:
    found = dispute(
        status,
        kind,
        _total(order),
        id=f"dp_LaunchDay{order.number}",
        charge=f"ch_LaunchDay{order.number}",
        created=unix_s(order.returned_at[0]),
        currency=order.cart.currency.lower(),
        livemode=not order.test,
        payment_intent=_intent_id(order),
    )
    return _event(order, found["type"], found["data"]["object"], at)


def _event(order: Order, kind: str, thing: Json, at: datetime) -> Message:
    event_id = f"evt_{order.number}_{kind}_{thing['id']}_{thing.get('amount_refunded', '')}"
    return post(event(kind, thing, at_s=unix_s(at), id=event_id, livemode=not order.test))


SHOP = Shop(
    name="subscriptions",
    platform="stripe",
    secret="whsec_launch_day_stripe",  # noqa: S106 a secret of the demo's own brand
    outcomes=(
        "line_returned",
        "lines_returned",
        "all_returned",
        "refund_failed",
        "chargeback",
        "chargeback_won",
        "payment_failed",
        "captured",
        "captured_in_part",
        "not_captured",
        "credited_before",
        "credited_to_balance",
    ),
    simulate=simulate,
    sign=sign_while_rolled,
    unreadable=post({"object": "event", "type": "checkout.session.completed", "livemode": True, "data": {}}),
)
