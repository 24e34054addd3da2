"""The generic source: a checkout that speaks the API's own words, and the atelier, a shop's own checkout connected by a mapping.

The atelier signs in base64 with the time beside it, writes times in milliseconds and refunds as negative amounts.
"""

import base64
from datetime import datetime

from demo.simulator.carts import Cart, decimal
from demo.simulator.messages import Json, Message, hmac_sha256, post, unix_s
from demo.simulator.orders import Evidence, ExpectedRefund, Order, Shop, Simulation, in_any_order

# ── The API's own words ──────────────────────────────────────────────────────────────────────────────────────────────


def sign(message: Message, secret: str, at: datetime) -> Message:
    """X-Ariane-Signature over the body."""
    del at
    return message.with_headers({"X-Ariane-Signature": f"sha256={hmac_sha256(secret, message.body).hex()}"})


def sign_standard(message: Message, secret: str, at: datetime) -> Message:
    """The headers of Standard Webhooks; the key is what stands behind `whsec_`, in base64."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac_sha256(key, f"msg_1.{unix_s(at)}.".encode() + message.body)
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return message.with_headers(
        {"webhook-id": "msg_1", "webhook-timestamp": str(unix_s(at)), "webhook-signature": signature}
    )


def sale(cart: Cart, at: datetime, code: str) -> Message:
    """An order in the API's own words."""
    return post(
        {
            "type": "conversion",
            "order_id": f"G-{cart.number}",
            "occurred_at": at.isoformat(),
            "net_minor": cart.net_minor(),
            "currency": cart.currency,
            "codes": [code],
        }
    )


# ── The atelier ──────────────────────────────────────────────────────────────────────────────────────────────────────

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


def simulate(order: Order, evidence: Evidence) -> Simulation:
    """`placed`, `changed`, and a message for each thing that happens to the order."""
    cart = order.cart
    messages = [_placed(order, evidence, "placed")]
    if order.updated:
        messages.append(_placed(order, evidence, "changed"))
    refunds: list[ExpectedRefund] = []
    everything = [-cart.net_minor(index) for index in cart.lines]
    match order.outcome:
        case "line_returned" | "lines_returned":
            for index in order.returned_lines:
                at, net = order.returned_at[index], cart.net_minor(index)
                messages.append(_happened(order, "returned", at, f"R{index}", [-net]))
                refunds.append(ExpectedRefund(net, at))
        case "cancelled":
            messages.append(_happened(order, "called_off", order.returned_at[0]))
            refunds.append(ExpectedRefund(cart.net_minor(), order.returned_at[0]))
        case "chargeback" | "chargeback_won":
            messages.append(_happened(order, "disputed", order.returned_at[0], "D", everything))
            refunds.append(ExpectedRefund(cart.net_minor(), order.returned_at[0]))
            if order.outcome == "chargeback_won":
                again = [-net for net in everything]
                messages.append(_happened(order, "dispute_won", order.returned_at[1], "W", again))
                refunds.append(ExpectedRefund(-cart.net_minor(), order.returned_at[1]))
    return Simulation(_ref(order), in_any_order(*messages), tuple(refunds))


def sign_atelier(message: Message, secret: str, at: datetime) -> Message:
    """Atelier-Signature: t=…,v1=<base64> over the time, a dot and the body."""
    digest = base64.b64encode(hmac_sha256(secret, f"{unix_s(at)}.".encode() + message.body)).decode()
    return message.with_headers({"Atelier-Signature": f"t={unix_s(at)},v1={digest}"})


def _ref(order: Order) -> str:
    return f"A-{order.number}"


def _placed(order: Order, evidence: Evidence, what: str) -> Message:
    totals = order.cart.totals()
    landing = (
        "https://atelier.example/"
        if evidence.click_id is None
        else f"https://atelier.example/?ariane={evidence.click_id}"
    )
    return post(
        {
            "what": what,
            "at": _ms(order.at) + (1_000 if what == "changed" else 0),
            "order": {
                "ref": _ref(order),
                "currency": order.cart.currency,
                "paid": decimal(totals["total"]),
                "vat": decimal(totals["tax"]),
                "delivery": decimal(order.cart.shipping_minor),
                "vouchers": [] if evidence.code is None else [{"typed": evidence.code}],
                "extra": [{"key": "gift", "value": "no"}, {"key": "landing", "value": landing}],
                "buyer": f"customer{order.number}@example.com",
                "at": _ms(order.at),
                "test": order.test,
            },
        }
    )


def _happened(order: Order, what: str, at: datetime, name: str = "", amounts: list[int] | None = None) -> Message:
    lines = [{"amount": f"{'-' if amount < 0 else ''}{decimal(abs(amount))}"} for amount in amounts or []]
    body = {"what": what, "at": _ms(at), "ref": _ref(order), "id": f"{_ref(order)}-{name}", "lines": lines}
    return post(body | {"currency": order.cart.currency})


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000)


SHOP = Shop(
    name="atelier",
    platform="generic",
    settings=SETTINGS,
    sample=SAMPLE,
    secret="launch-day-atelier",  # noqa: S106 a secret of the demo's own brand
    outcomes=("line_returned", "lines_returned", "cancelled", "chargeback", "chargeback_won"),
    simulate=simulate,
    sign=sign_atelier,
    unreadable=post({"what": "placed", "at": 0, "order": {"ref": "A-1", "currency": "EUR", "paid": "12 euros"}}),
)
