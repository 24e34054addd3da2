"""PrestaShop, by its preset: the messages of the module on its page. Each is the whole order, credit slips included; the newest one counts."""

from datetime import UTC, datetime, timedelta

from demo.simulator.carts import Cart, decimal
from demo.simulator.messages import Json, Message, hmac_sha256, post, unix_s
from demo.simulator.orders import Evidence, ExpectedRefund, Order, Shop, Simulation, in_any_order

DECIMALS = 6
EXAMPLE: Json = {
    "event": "order",
    "sent_at": "2026-11-21T18:00:03Z",
    "order": {
        "id_order": 42,
        "reference": "XKBKNABJK",
        "secure_key": "b44a6d9efd7a0076a0fbce6b15eaf3b1",
        "date_add": "2026-11-21T18:00:00Z",
        "currency": "EUR",
        "total_products": "100.000000",
        "discount": "10.000000",
        "total_tax": "18.980000",
        "total_shipping_tax_excl": "4.900000",
        "valid": True,
        "cancelled": None,
    },
    "order_cart_rule": [{"code": "LEA10"}, {"code": None}, {"code": ""}],
    "order_detail": [
        {
            "id_order_detail": 77,
            "product_reference": "SERUM-30",
            "product_name": "Serum 30 ml",
            "product_quantity": "2",
            "total_price_tax_excl": "100.000000",
        }
    ],
    "order_slip": [],
    "customer": {"id_customer": 7, "email": "bob@example.com"},
    "ariane": "clk_01kaz8h0000000000000000000",
}
"""One message of the module: an order of 90.00 before tax."""
EXAMPLE_SLIP: Json = {
    "id_order_slip": 3,
    "total_products_tax_excl": "25.000000",
    "date_add": "2026-11-23T09:00:00Z",
    "date_upd": "2026-11-23T09:00:00Z",
}
"""A credit slip of that order."""


def sign(message: Message, secret: str, at: datetime) -> Message:
    """X-Ariane-Signature over X-Ariane-Timestamp, a dot and the body."""
    digest = hmac_sha256(secret, f"{unix_s(at)}.".encode() + message.body).hex()
    return message.with_headers({"X-Ariane-Timestamp": str(unix_s(at)), "X-Ariane-Signature": f"sha256={digest}"})


def simulate(order: Order, evidence: Evidence) -> Simulation:
    """`order` when it is placed, `status` when that changes, `slip` when goods are returned."""
    cart = order.cart

    def changed(event: str, minute: int, *, cancelled: bool | None = False, slips: int = 0) -> Message:
        body = _body(cart, order.at, evidence, test=order.test) | {
            "event": event,
            "sent_at": _time(order.at + timedelta(minutes=minute)),
            "order_slip": [_slip(order, index) for index in order.returned_lines[:slips]],
        }
        body["order"]["cancelled"] = cancelled
        body["order"]["valid"] = event != "order"
        return post(body)

    messages = [changed("order", 0, cancelled=None)]
    if order.updated:
        messages.append(changed("status", 1))
    refunds: tuple[ExpectedRefund, ...] = ()
    match order.outcome:
        case "line_returned" | "lines_returned":
            messages += [changed("slip", 2 + n, slips=n + 1) for n in range(len(order.returned_lines))]
            refunds = order.line_refunds()
        case "cancelled":
            messages.append(changed("status", 2, cancelled=True))
            refunds = (ExpectedRefund(cart.net_minor(), None),)
        case "restored":
            messages += [changed("status", 2, cancelled=True), changed("status", 3)]
    return Simulation(_order_id(cart), in_any_order(*messages), refunds)


def sale(cart: Cart, at: datetime, code: str) -> Message:
    """`order` of a paid order."""
    body = _body(cart, at, Evidence(code=code)) | {"event": "order", "sent_at": _time(at), "order_slip": []}
    body["order"] |= {"cancelled": None, "valid": True}
    return post(body)


def _order_id(cart: Cart) -> str:
    return str(30_000 + cart.number)


def _body(cart: Cart, at: datetime, evidence: Evidence, *, test: bool = False) -> Json:
    off = sum(map(cart.net_off_minor, cart.lines))
    return {
        "order": {
            "id_order": int(_order_id(cart)),
            "reference": "XKBKNABJK",
            "secure_key": f"{cart.number:032x}",
            "date_add": _time(at),
            "currency": cart.currency,
            "total_products": decimal(cart.net_minor() + off, DECIMALS),
            "discount": decimal(off, DECIMALS),
            "total_tax": decimal(cart.totals()["tax"], DECIMALS),
            "total_shipping_tax_excl": decimal(cart.shipping_minor, DECIMALS),
        },
        "order_cart_rule": [] if evidence.code is None else [{"code": evidence.code}],
        "order_detail": [_detail(cart, index) for index in cart.lines],
        "customer": {"id_customer": cart.number, "email": f"customer{cart.number}@example.com"},
        "ariane": evidence.click_id,
        "test": test,
    }


def _detail(cart: Cart, index: int) -> Json:
    item = cart.items[index]
    return {
        "total_price_tax_excl": decimal(cart.net_minor(index), DECIMALS),
        "id_order_detail": str(cart.number * 10 + index),
        "product_reference": item.sku,
        "product_name": item.title,
        "product_quantity": str(item.quantity),
    }


def _slip(order: Order, index: int) -> Json:
    return {
        "id_order_slip": str(order.number * 10 + index),
        "total_products_tax_excl": decimal(order.cart.net_minor(index), DECIMALS),
        "date_add": _time(order.returned_at[index]),
        "date_upd": _time(order.returned_at[index]),
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


SHOP = Shop(
    name="parfumerie",
    platform="generic",
    settings={"preset": "prestashop"},
    secret="launch-day-prestashop",  # noqa: S106 a secret of the demo's own brand
    outcomes=("line_returned", "lines_returned", "cancelled", "restored"),
    simulate=simulate,
    sign=sign,
    unreadable=post({"event": "order", "order": {"id_order": 1, "currency": "EUR", "total_products": "1.234,5,6"}}),
)
