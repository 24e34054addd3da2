"""A checkout of somebody's own, connected by a mapping: its signature in base64 with a time beside it, its times in milliseconds, its refunds negative."""

import base64
from dataclasses import replace
from datetime import datetime

from demo.carts import text
from demo.day import Order
from demo.shops.letters import Back, Json, Letter, Names, Shop, Telling, hmac_sha256, letter, one_by_one

SETTINGS: Json = {
    "signature": {
        "header": "Atelier-Signature",
        "encoding": "base64",
        "separator": ",",
        "signature_key": "v1",
        "timestamp_key": "t",
        "message": "{timestamp}.{body}",
    },
    "mapping": {
        "amounts": "major",
        "times": "unix_ms",
        "topic": "/what",
        "rules": [
            {
                "read": "order",
                "when": [{"at": "/what", "equals": ["placed", "changed"]}],
                "order_id": "/order/ref",
                "currency": "/order/currency",
                "total": "/order/paid",
                "tax": "/order/vat",
                "shipping": "/order/delivery",
                "codes": "/order/vouchers/*/typed",
                "click_id": "/order/extra/[key=landing]/value",
                "customer_email": "/order/buyer",
                "occurred_at": "/order/at",
                "updated_at": "/at",
                "paid": {"at": "/what", "equals": ["placed", "changed"]},
                "test": "/order/test",
            },
            *(
                {
                    "read": read,
                    "when": [{"at": "/what", "equals": what}],
                    "order_id": "/ref",
                    "refund_id": "/id",
                    "currency": "/currency",
                    "net": {"at": "/lines/*/amount", "negate": negate},
                    "occurred_at": "/at",
                }
                for read, what, negate in (
                    ("refund", "returned", True),
                    ("chargeback", "disputed", True),
                    ("reversal", "dispute_won", False),
                )
            ),
            {
                "read": "cancellation",
                "when": [{"at": "/what", "equals": "called_off"}],
                "order_id": "/ref",
                "occurred_at": "/at",
            },
        ],
    },
}
SAMPLE: Json = {
    "what": "placed",
    "at": 1_795_305_134_000,
    "order": {
        "ref": "A-1", "currency": "EUR", "paid": "65.90", "vat": "10.00", "delivery": "5.90", "at": 1_795_305_134_000,
        "vouchers": [{"typed": "LEA10"}],
    },
}  # fmt: skip


def tell(order: Order, names: Names) -> Telling:
    """`placed`, `changed`, and a message for each thing that happens to it."""
    cart = order.cart
    letters = [_placed(order, names, "placed")]
    if order.updated:
        letters.append(_placed(order, names, "changed"))
    back: list[Back] = []
    everything = [-cart.net_minor(index) for index in cart.lines]
    match order.story:
        case "line_back" | "lines_back":
            for index in order.lines_back:
                at, net = order.returns[index], cart.net_minor(index)
                letters.append(_happened(order, "returned", at, f"R{index}", [-net]))
                back.append(Back(net, at))
        case "cancelled":
            letters.append(_happened(order, "called_off", order.returns[0]))
            back.append(Back(cart.net_minor(), order.returns[0]))
        case "chargeback" | "chargeback_won":
            letters.append(_happened(order, "disputed", order.returns[0], "D", everything))
            back.append(Back(cart.net_minor(), order.returns[0]))
            if order.story == "chargeback_won":
                again = [-net for net in everything]
                letters.append(_happened(order, "dispute_won", order.returns[1], "W", again))
                back.append(Back(-cart.net_minor(), order.returns[1]))
    return Telling(_ref(order), one_by_one(*letters), tuple(back))


def sign(unsigned: Letter, secret: str, at: datetime) -> Letter:
    """Atelier-Signature: t=…,v1=<base64> over the time, a dot and the body."""
    stamp = int(at.timestamp())
    digest = base64.b64encode(hmac_sha256(secret, f"{stamp}.".encode() + unsigned.body)).decode()
    return replace(unsigned, headers={**unsigned.headers, "Atelier-Signature": f"t={stamp},v1={digest}"})


def _ref(order: Order) -> str:
    return f"A-{order.number}"


def _placed(order: Order, names: Names, what: str) -> Letter:
    totals = order.cart.totals()
    landing = (
        "https://atelier.example/" if names.click_id is None else f"https://atelier.example/?ariane={names.click_id}"
    )
    return letter(
        {
            "what": what,
            "at": _ms(order.at) + (1_000 if what == "changed" else 0),
            "order": {
                "ref": _ref(order),
                "currency": order.cart.currency,
                "paid": text(totals["total"]),
                "vat": text(totals["tax"]),
                "delivery": text(order.cart.shipping_minor),
                "vouchers": [] if names.code is None else [{"typed": names.code}],
                "extra": [{"key": "gift", "value": "no"}, {"key": "landing", "value": landing}],
                "buyer": f"customer{order.number}@example.com",
                "at": _ms(order.at),
                "test": order.test,
            },
        }
    )


def _happened(order: Order, what: str, at: datetime, name: str = "", amounts: list[int] | None = None) -> Letter:
    lines = [{"amount": f"{'-' if amount < 0 else ''}{text(abs(amount))}"} for amount in amounts or []]
    body = {"what": what, "at": _ms(at), "ref": _ref(order), "id": f"{_ref(order)}-{name}", "lines": lines}
    return letter(body | {"currency": order.cart.currency})


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000)


SHOP = Shop(
    name="atelier",
    platform="generic",
    settings=SETTINGS,
    sample=SAMPLE,
    secret="launch-day-atelier",  # noqa: S106 a secret of the demo's own brand
    stories=("line_back", "lines_back", "cancelled", "chargeback", "chargeback_won"),
    tell=tell,
    sign=sign,
    unreadable=letter({"what": "placed", "at": 0, "order": {"ref": "A-1", "currency": "EUR", "paid": "12 euros"}}),
)
