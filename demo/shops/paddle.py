"""Paddle Billing, by its preset: transactions and adjustments as its documentation shows them, amounts in texts of minor units.

What Paddle has not approved is no refund yet. A chargeback that is won is given back by an adjustment of its own.
"""

from dataclasses import replace
from datetime import UTC, datetime

from demo.day import Order
from demo.shops.letters import Back, Json, Letter, Names, Shop, Telling, hmac_sha256, letter, one_by_one, sample


def tell(order: Order, names: Names) -> Telling:
    """The transaction, and its adjustments as they are asked for and as they are approved."""
    letters = [_transaction(order, names, "completed")]
    if order.updated:
        letters.insert(0, _transaction(order, names, "paid"))
    back: list[Back] = []
    net, every_line = order.cart.net_minor(), tuple(order.cart.lines)
    match order.story:
        case "line_back" | "lines_back":
            for index in order.lines_back:
                at = order.returns[index]
                letters += [
                    _adjustment(order, "refund", (index,), at, step) for step in ("pending_approval", "approved")
                ]
                back.append(Back(order.cart.net_minor(index), at))
        case "refund_failed":
            steps = ("pending_approval", "rejected")
            letters += [_adjustment(order, "refund", every_line, order.returns[0], step) for step in steps]
        case "chargeback" | "chargeback_won":
            letters.append(_adjustment(order, "chargeback", every_line, order.returns[0], "approved"))
            back.append(Back(net, order.returns[0]))
            if order.story == "chargeback_won":
                letters.append(_adjustment(order, "chargeback", every_line, order.returns[0], "reversed"))
                letters.append(_adjustment(order, "chargeback_reverse", every_line, order.returns[1], "approved"))
                back.append(Back(-net, order.returns[1]))
    return Telling(f"W-{order.number}", one_by_one(*letters), tuple(back))


def sign(unsigned: Letter, secret: str, at: datetime) -> Letter:
    """Paddle-Signature over the time and the body, with a colon between."""
    stamp = int(at.timestamp())
    digest = hmac_sha256(secret, f"{stamp}:".encode() + unsigned.body).hex()
    return replace(unsigned, headers={**unsigned.headers, "Paddle-Signature": f"ts={stamp};h1={digest}"})


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _transaction(order: Order, names: Names, status: str) -> Letter:
    cart, found = order.cart, sample("paddle_transaction_completed.json")
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
    line = found["data"]["details"]["line_items"][0]
    lines = [
        line
        | {
            "id": f"txnitm_{order.number}_{index}",
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
    named = {"ariane": names.click_id, "code": names.code, "ariane_test": order.test or None}
    data = found["data"] | {
        "id": _transaction_id(order),
        "status": status,
        "currency_code": cart.currency,
        "customer_id": f"ctm_{order.number}",
        "custom_data": {"order_id": f"W-{order.number}", **{key: value for key, value in named.items() if value}},
        "created_at": _time(order.at),
        "billed_at": _time(order.at),
        "updated_at": _time(order.at),
        "details": found["data"]["details"] | {"totals": totals, "line_items": lines},
    }
    return _notice(f"transaction.{status}", data, order.at)


def _adjustment(order: Order, action: str, lines: tuple[int, ...], at: datetime, status: str) -> Letter:
    cart, found = order.cart, sample("paddle_adjustment_updated.json")
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
    data = found["data"] | {
        "id": f"adj_{order.number}_{action}_{lines[0]}",
        "action": action,
        "status": status,
        "transaction_id": _transaction_id(order),
        "customer_id": f"ctm_{order.number}",
        "currency_code": cart.currency,
        "items": items,
        "totals": {"subtotal": str(net), "tax": str(tax), "total": str(net + tax), "currency_code": cart.currency},
        "created_at": _time(at),
        "updated_at": _time(at),
    }
    return _notice("adjustment.created" if status == "pending_approval" else "adjustment.updated", data, at)


def _transaction_id(order: Order) -> str:
    return f"txn_{order.number:026d}"


def _notice(kind: str, data: Json, at: datetime) -> Letter:
    name = f"{data['id']}_{data['status']}"
    return letter(
        {
            "event_id": f"evt_{name}",
            "event_type": kind,
            "occurred_at": _time(at),
            "notification_id": f"ntf_{name}",
            "data": data,
        }
    )


SHOP = Shop(
    name="software",
    platform="generic",
    settings={"preset": "paddle"},
    secret="pdl_ntfset_launch_day",  # noqa: S106 a secret of the demo's own brand
    stories=("line_back", "lines_back", "refund_failed", "chargeback", "chargeback_won"),
    tell=tell,
    sign=sign,
    unreadable=letter(
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
