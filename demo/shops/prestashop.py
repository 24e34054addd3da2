"""PrestaShop, by its preset: what the module on its page sends. Each message is the whole order, credit slips included; the newest says it all."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from demo.carts import Cart, text
from demo.day import Order
from demo.shops.letters import Back, Json, Letter, Names, Shop, Telling, hmac_sha256, letter, one_by_one

DECIMALS = 6


def tell(order: Order, names: Names) -> Telling:
    """`order` when it is placed, `status` when that changes, `slip` when goods come back."""
    cart = order.cart

    def said(event: str, minute: int, *, cancelled: bool | None = False, slips: int = 0) -> Letter:
        body = _body(order, names) | {
            "event": event,
            "sent_at": _time(order.at + timedelta(minutes=minute)),
            "order_slip": [_slip(order, index) for index in order.lines_back[:slips]],
        }
        body["order"]["cancelled"] = cancelled
        body["order"]["valid"] = event != "order"
        return letter(body)

    letters = [said("order", 0, cancelled=None)]
    if order.updated:
        letters.append(said("status", 1))
    back: tuple[Back, ...] = ()
    match order.story:
        case "line_back" | "lines_back":
            letters += [said("slip", 2 + n, slips=n + 1) for n in range(len(order.lines_back))]
            back = tuple(Back(cart.net_minor(index), order.returns[index]) for index in order.lines_back)
        case "cancelled":
            letters.append(said("status", 2, cancelled=True))
            back = (Back(cart.net_minor(), None),)
        case "restored":
            letters += [said("status", 2, cancelled=True), said("status", 3)]
    return Telling(_number(order), one_by_one(*letters), back)


def sign(unsigned: Letter, secret: str, at: datetime) -> Letter:
    """X-Ariane-Signature over X-Ariane-Timestamp, a dot and the body."""
    stamp = str(int(at.timestamp()))
    digest = hmac_sha256(secret, f"{stamp}.".encode() + unsigned.body).hex()
    signed = {"X-Ariane-Timestamp": stamp, "X-Ariane-Signature": f"sha256={digest}"}
    return replace(unsigned, headers={**unsigned.headers, **signed})


def _number(order: Order) -> str:
    return str(30_000 + order.number)


def _body(order: Order, names: Names) -> Json:
    cart = order.cart
    off = sum(map(cart.net_off_minor, cart.lines))
    return {
        "order": {
            "id_order": int(_number(order)),
            "reference": "XKBKNABJK",
            "date_add": _time(order.at),
            "currency": cart.currency,
            "total_products": text(cart.net_minor() + off, DECIMALS),
            "discount": text(off, DECIMALS),
            "total_tax": text(cart.totals()["tax"], DECIMALS),
            "total_shipping_tax_excl": text(cart.shipping_minor, DECIMALS),
        },
        "order_cart_rule": [] if names.code is None else [{"code": names.code}],
        "order_detail": [_detail(cart, index) for index in cart.lines],
        "customer": {"id_customer": order.number, "email": f"customer{order.number}@example.com"},
        "ariane": names.click_id,
        "test": order.test,
    }


def _detail(cart: Cart, index: int) -> Json:
    item = cart.items[index]
    return {
        "total_price_tax_excl": text(cart.net_minor(index), DECIMALS),
        "id_order_detail": str(cart.number * 10 + index),
        "product_reference": item.sku,
        "product_name": item.title,
        "product_quantity": str(item.quantity),
    }


def _slip(order: Order, index: int) -> Json:
    return {
        "id_order_slip": str(order.number * 10 + index),
        "total_products_tax_excl": text(order.cart.net_minor(index), DECIMALS),
        "date_add": _time(order.returns[index]),
        "date_upd": _time(order.returns[index]),
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


SHOP = Shop(
    name="parfumerie",
    platform="generic",
    settings={"preset": "prestashop"},
    secret="launch-day-prestashop",  # noqa: S106 a secret of the demo's own brand
    stories=("line_back", "lines_back", "cancelled", "restored"),
    tell=tell,
    sign=sign,
    unreadable=letter({"event": "order", "order": {"id_order": 1, "currency": "EUR", "total_products": "1.234,5,6"}}),
)
