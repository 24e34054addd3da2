"""Paddle Billing, by its preset: transactions and adjustments as its documentation shows them, amounts as strings of minor units.

An adjustment that Paddle has not approved is no refund yet. A chargeback that is won is given back by an adjustment of its own.
"""

from datetime import UTC, datetime
from typing import Any

from demo.simulator.carts import Cart
from demo.simulator.messages import Json, Message, document, hmac_sha256, post, unix_s
from demo.simulator.orders import Evidence, ExpectedRefund, Order, Shop, Simulation, in_any_order


def sign(message: Message, secret: str, at: datetime) -> Message:
    """Paddle-Signature over the time and the body, with a colon between."""
    digest = hmac_sha256(secret, f"{unix_s(at)}:".encode() + message.body).hex()
    return message.with_headers({"Paddle-Signature": f"ts={unix_s(at)};h1={digest}"})


def notification(kind: str, data: Json, at: datetime) -> Message:
    """A notification of this type about a transaction or an adjustment, unsigned."""
    name = f"{data['id']}_{data['status']}"
    return post(
        {
            "event_id": f"evt_{name}",
            "event_type": kind,
            "occurred_at": _time(at),
            "notification_id": f"ntf_{name}",
            "data": data,
        }
    )


def transaction(**fields: Any) -> Json:
    """The documented transaction with other fields."""
    return document("paddle_transaction_completed.json")["data"] | fields  # type: ignore[no-any-return]


def adjustment(**fields: Any) -> Json:
    """The documented adjustment with other fields."""
    return document("paddle_adjustment_updated.json")["data"] | fields  # type: ignore[no-any-return]


def simulate(order: Order, evidence: Evidence) -> Simulation:
    """The transaction, and its adjustments as they are requested and as they are approved."""
    messages = [_sale(order.cart, order.at, evidence, "completed", test=order.test)]
    if order.updated:
        messages.insert(0, _sale(order.cart, order.at, evidence, "paid", test=order.test))
    refunds: list[ExpectedRefund] = []
    net, every_line = order.cart.net_minor(), tuple(order.cart.lines)
    match order.outcome:
        case "line_returned" | "lines_returned":
            for index in order.returned_lines:
                at = order.returned_at[index]
                messages += [
                    _adjustment(order, "refund", (index,), at, step) for step in ("pending_approval", "approved")
                ]
                refunds.append(ExpectedRefund(order.cart.net_minor(index), at))
        case "refund_failed":
            steps = ("pending_approval", "rejected")
            messages += [_adjustment(order, "refund", every_line, order.returned_at[0], step) for step in steps]
        case "chargeback" | "chargeback_won":
            messages.append(_adjustment(order, "chargeback", every_line, order.returned_at[0], "approved"))
            refunds.append(ExpectedRefund(net, order.returned_at[0]))
            if order.outcome == "chargeback_won":
                messages.append(_adjustment(order, "chargeback", every_line, order.returned_at[0], "reversed"))
                messages.append(_adjustment(order, "chargeback_reverse", every_line, order.returned_at[1], "approved"))
                refunds.append(ExpectedRefund(-net, order.returned_at[1]))
    return Simulation(f"W-{order.number}", in_any_order(*messages), tuple(refunds))


def sale(cart: Cart, at: datetime, code: str) -> Message:
    """transaction.completed of a paid order."""
    return _sale(cart, at, Evidence(code=code), "completed")


def _sale(cart: Cart, at: datetime, evidence: Evidence, status: str, *, test: bool = False) -> Message:
    details = transaction()["details"]
    net, tax = cart.net_minor(), cart.totals()["tax"]
    off = sum(map(cart.net_off_minor, cart.lines))
    totals = {
        "subtotal": str(net + off),
        "discount": str(off),
        "tax": str(tax),
        "total": str(net + tax),
        "grand_total": str(net + tax),
        "currency_code": cart.currency,
    }
    line = details["line_items"][0]
    lines = [
        line
        | {
            "id": f"txnitm_{cart.number}_{index}",
            "quantity": cart.items[index].quantity,
            "totals": {
                "subtotal": str(cart.net_minor(index) + cart.net_off_minor(index)),
                "discount": str(cart.net_off_minor(index)),
                "tax": str(cart.vat_minor(index)),
                "total": str(cart.charged_minor(index)),
            },
        }
        for index in cart.lines
    ]
    named = {"ariane": evidence.click_id, "code": evidence.code, "ariane_test": test or None}
    data = transaction(
        id=_transaction_id(cart),
        status=status,
        currency_code=cart.currency,
        customer_id=f"ctm_{cart.number}",
        custom_data={"order_id": f"W-{cart.number}", **{key: value for key, value in named.items() if value}},
        created_at=_time(at),
        billed_at=_time(at),
        updated_at=_time(at),
        details=details | {"totals": totals, "line_items": lines},
    )
    return notification(f"transaction.{status}", data, at)


def _adjustment(order: Order, action: str, lines: tuple[int, ...], at: datetime, status: str) -> Message:
    cart = order.cart
    items = [
        {
            "id": f"adjitm_{index}",
            "item_id": f"txnitm_{order.number}_{index}",
            "type": "full",
            "amount": str(cart.charged_minor(index)),
            "totals": {"subtotal": str(cart.net_minor(index)), "tax": str(cart.vat_minor(index))},
        }
        for index in lines
    ]
    net = sum(map(cart.net_minor, lines))
    tax = sum(map(cart.vat_minor, lines))
    data = adjustment(
        id=f"adj_{order.number}_{action}_{lines[0]}",
        action=action,
        status=status,
        transaction_id=_transaction_id(cart),
        customer_id=f"ctm_{order.number}",
        currency_code=cart.currency,
        items=items,
        totals={"subtotal": str(net), "tax": str(tax), "total": str(net + tax), "currency_code": cart.currency},
        created_at=_time(at),
        updated_at=_time(at),
    )
    return notification("adjustment.created" if status == "pending_approval" else "adjustment.updated", data, at)


def _transaction_id(cart: Cart) -> str:
    return f"txn_{cart.number:026d}"


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


SHOP = Shop(
    name="software",
    platform="generic",
    settings={"preset": "paddle"},
    secret="pdl_ntfset_launch_day",  # noqa: S106 a secret of the demo's own brand
    outcomes=("line_returned", "lines_returned", "refund_failed", "chargeback", "chargeback_won"),
    simulate=simulate,
    sign=sign,
    unreadable=post(
        {
            "event_type": "transaction.completed",
            "data": {
                "id": "txn_1",
                "status": "completed",
                "currency_code": "EUR",
                "details": {"totals": {"subtotal": "a lot"}},
            },
        }
    ),
)
