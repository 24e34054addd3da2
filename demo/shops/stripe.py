"""Stripe: checkout sessions, invoices, refunds and disputes of its own fixtures, with our cart in them.

A session names the promotion code by an id that only Stripe knows. Refunds are parts of what was paid, VAT and shipping included: some accounts
send them one by one, some as the sum on the charge, some send both.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from demo.carts import steps
from demo.day import Order
from demo.shops.letters import Back, Json, Letter, Names, Shop, Telling, hmac_sha256, letter, one_by_one, sample


def tell(order: Order, names: Names) -> Telling:
    """The session or invoice, and what was given back of its payment."""
    letters = _invoice(order, names) if _is_renewal(order) else _session(order, names)
    given, back = _given_back(order)
    return Telling(_name(order), one_by_one(*letters, *given), back)


def sign(unsigned: Letter, secret: str, at: datetime) -> Letter:
    """Stripe-Signature, with the signature of the secret before this one beside it, as while it is rolled."""
    stamp = int(at.timestamp())
    message = f"{stamp}.".encode() + unsigned.body
    digests = [hmac_sha256(each, message).hex() for each in ("whsec_the_one_before", secret)]
    value = ",".join([f"t={stamp}", *(f"v1={digest}" for digest in digests)])
    return replace(unsigned, headers={**unsigned.headers, "Stripe-Signature": value})


def _is_renewal(order: Order) -> bool:
    return order.number % 5 == 0 and order.story in ("kept", "line_back", "lines_back", "all_back")


def _name(order: Order) -> str:
    return (
        f"ST-{order.number}" if order.number % 2 else f"in_{order.number}" if _is_renewal(order) else _session_id(order)
    )


def _session_id(order: Order) -> str:
    return f"cs_live_a1LaunchDay{order.number}"


def _intent_id(order: Order) -> str:
    return f"pi_LaunchDay{order.number}"


def _total(order: Order) -> int:
    return order.cart.totals()["total"]


def _metadata(order: Order, names: Names) -> dict[str, str]:
    number = {"order_id": _name(order)} if order.number % 2 else {}
    click = {} if names.click_id is None or order.number % 4 < 2 else {"click_id": names.click_id}
    return number | click


def _session(order: Order, names: Names) -> list[Letter]:
    totals, cart = order.cart.totals(), order.cart
    thing = sample("stripe_event_checkout_session_completed.json")["data"]["object"] | {
        "id": _session_id(order),
        "livemode": not order.test,
        "currency": cart.currency.lower(),
        "amount_subtotal": totals["lines"],
        "amount_total": totals["total"],
        "total_details": {
            "amount_discount": totals["discount"],
            "amount_shipping": cart.shipping_minor,
            "amount_tax": totals["tax"],
        },
        "shipping_cost": None,
        "client_reference_id": names.click_id if order.number % 4 < 2 else f"cart-{order.number}",
        "customer": f"cus_{order.number}",
        "customer_details": {"email": f"customer{order.number}@example.com"},
        "metadata": _metadata(order, names),
        "payment_intent": _intent_id(order),
        "discounts": [],
    }
    _redeem(thing, order, names)
    late = order.story == "payment_failed" or (order.story == "kept" and order.number % 7 == 1)
    first = thing | {"payment_status": "unpaid"} if late else thing
    events = [_event(order, "checkout.session.completed", first, order.at)]
    if order.story == "payment_failed":
        events.append(_event(order, "checkout.session.async_payment_failed", first, order.returns[0]))
    elif late:
        events.append(_event(order, "checkout.session.async_payment_succeeded", thing, order.returns[0]))
    return events


def _redeem(thing: Json, order: Order, names: Names) -> None:
    """The promotion code in each of the shapes that the API has had."""
    if names.promotion_id is None:
        return
    match order.number % 3:
        case 0:
            thing["discounts"] = [{"coupon": None, "promotion_code": names.promotion_id}]
        case 1:
            promotion = {"id": names.promotion_id, "object": "promotion_code", "code": names.code, "active": True}
            thing["discounts"] = [{"coupon": {"id": "cpn_launch"}, "promotion_code": promotion}]
        case _:
            discount = {"object": "discount", "promotion_code": names.promotion_id, "source": {"coupon": "cpn_launch"}}
            amount = order.cart.totals()["discount"]
            thing["total_details"]["breakdown"] = {"discounts": [{"amount": amount, "discount": discount}], "taxes": []}


def _invoice(order: Order, names: Names) -> list[Letter]:
    """A period of a subscription, and since 2025 the message of its own that says which payment paid it."""
    totals, invoice_id = order.cart.totals(), f"in_{order.number}"
    subscribed = {} if names.click_id is None else {"click_id": names.click_id}
    thing = sample("stripe_fixture_invoice.json") | {
        "id": invoice_id,
        "livemode": not order.test,
        "status": "paid",
        "billing_reason": "subscription_cycle",
        "currency": order.cart.currency.lower(),
        "customer": f"cus_{order.number}",
        "customer_email": f"customer{order.number}@example.com",
        "subtotal": totals["lines"],
        "total": totals["total"],
        "amount_due": totals["total"],
        "amount_paid": totals["total"],
        "amount_shipping": order.cart.shipping_minor,
        "shipping_cost": None,
        "total_excluding_tax": totals["total"] - totals["tax"],
        "total_taxes": [{"amount": totals["tax"], "tax_behavior": "exclusive", "type": "tax_rate_details"}],
        "status_transitions": {"finalized_at": _seconds(order.at), "paid_at": _seconds(order.at)},
        "metadata": {"order_id": _name(order)} if order.number % 2 else {},
        "parent": {"subscription_details": {"metadata": subscribed, "subscription": f"sub_{order.number}"}},
    }
    if names.promotion_id is not None:
        thing["discounts"] = [{"id": "di_1", "object": "discount", "promotion_code": names.promotion_id}]
    payment = {
        "id": f"inpay_{order.number}",
        "object": "invoice_payment",
        "invoice": invoice_id,
        "amount_paid": totals["total"],
        "livemode": not order.test,
        "payment": {"type": "payment_intent", "payment_intent": _intent_id(order)},
        "status": "paid",
    }
    return [_event(order, "invoice.paid", thing, order.at), _event(order, "invoice_payment.paid", payment, order.at)]


def _given_back(order: Order) -> tuple[list[Letter], tuple[Back, ...]]:
    net, total, first = order.cart.net_minor(), _total(order), order.returns[0]
    match order.story:
        case "line_back" | "lines_back":
            amounts = [order.cart.charged_minor(index) for index in order.lines_back]
            times = [order.returns[index] for index in order.lines_back]
            parts = steps(amounts, net, total)
            return _refunds(order, amounts, times), tuple(map(Back, parts, times))
        case "all_back":
            return _refunds(order, [total], [first]), (Back(net, first),)
        case "refund_failed":
            made = _refund(order, 0, total, first)
            failed = {**made, "status": "failed", "failure_reason": "expired_or_canceled_card"}
            return [
                _event(order, "refund.created", made, first),
                _event(order, "refund.failed", failed, order.returns[1]),
            ], ()
        case "chargeback":
            return [_dispute(order, "created", "needs_response", first)], (Back(net, first),)
        case "chargeback_won":
            return [
                _dispute(order, "created", "needs_response", first),
                _dispute(order, "funds_withdrawn", "under_review", first),
                _dispute(order, "closed", "won", order.returns[1]),
            ], ()
        case "payment_failed":
            return [], (Back(net, first),)
    return [], ()


def _refunds(order: Order, amounts: Sequence[int], times: Sequence[datetime]) -> list[Letter]:
    letters, sum_so_far = [], 0
    for index, (amount, at) in enumerate(zip(amounts, times, strict=True)):
        sum_so_far += amount
        if order.number % 3 != 1:
            letters.append(_event(order, "refund.created", _refund(order, index, amount, at), at))
        if order.number % 3 != 0:
            letters.append(_event(order, "charge.refunded", _charge(order, sum_so_far), at))
    return letters


def _refund(order: Order, index: int, amount: int, at: datetime) -> Json:
    return sample("stripe_fixture_refund.json") | {
        "id": f"re_LaunchDay{order.number}_{index}",
        "amount": amount,
        "charge": f"ch_LaunchDay{order.number}",
        "created": _seconds(at),
        "currency": order.cart.currency.lower(),
        "payment_intent": _intent_id(order),
    }


def _charge(order: Order, refunded: int) -> Json:
    charge: Json = sample("stripe_event_charge_refunded_partial.json")["data"]["object"] | {
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


def _dispute(order: Order, event: str, status: str, at: datetime) -> Letter:
    thing = {
        "id": f"dp_LaunchDay{order.number}",
        "object": "dispute",
        "amount": _total(order),
        "charge": f"ch_LaunchDay{order.number}",
        "created": _seconds(order.returns[0]),
        "currency": order.cart.currency.lower(),
        "livemode": not order.test,
        "payment_intent": _intent_id(order),
        "reason": "fraudulent",
        "status": status,
    }
    return _event(order, f"charge.dispute.{event}", thing, at)


def _event(order: Order, kind: str, thing: Json, at: datetime) -> Letter:
    return letter(
        {
            "id": f"evt_{order.number}_{kind}_{thing['id']}_{thing.get('amount_refunded', '')}",
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": _seconds(at),
            "livemode": not order.test,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
            "data": {"object": thing},
        }
    )


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


SHOP = Shop(
    name="subscriptions",
    platform="stripe",
    secret="whsec_launch_day_stripe",  # noqa: S106 a secret of the demo's own brand
    stories=(
        "line_back",
        "lines_back",
        "all_back",
        "refund_failed",
        "chargeback",
        "chargeback_won",
        "payment_failed",
    ),
    tell=tell,
    sign=sign,
    unreadable=letter({"object": "event", "type": "checkout.session.completed", "livemode": True, "data": {}}),
)
