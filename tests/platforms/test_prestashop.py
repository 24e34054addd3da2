"""PrestaShop, a preset of the generic source. It has no webhooks: the messages are those of the module on docs/connect/prestashop.md.

Goal: what that module sends is the order as the shop sees it, whichever of its messages arrives, and a message that was signed otherwise is refused.
"""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from app.domain.orders import Context, Parsed, RefundReport, version_at
from app.platforms.generic.webhook import parse
from app.platforms.signing import verify
from demo.simulator.prestashop import EXAMPLE, EXAMPLE_SLIP

PRESET = {"preset": "prestashop"}
CONTEXT = Context(
    received_at=datetime(2026, 11, 25, tzinfo=UTC),
    currency="USD",
    customer_key=lambda number, email: f"{number}/{email}",
    settings=PRESET,
)
SECRET = "a-long-random-secret"
NOW_S = 1_795_000_000


def message(**fields: Any) -> bytes:
    """The message with other fields; those of `order` are merged."""
    order = {**EXAMPLE["order"], **fields.pop("order", {})}
    return json.dumps({**EXAMPLE, "order": order, **fields}).encode()


def read(body: bytes) -> Parsed:
    return parse(body, {"content-type": "application/json"}, CONTEXT)


def test_an_order_is_its_goods_after_vouchers_before_tax_and_shipping() -> None:
    parsed = read(message())
    assert (parsed.topic, parsed.rejected) == ("order", None)
    [order] = parsed.reports
    assert (order.order_id, order.refs, order.currency) == ("42", ("42",), "EUR")
    assert (order.items_minor, order.discount_minor, order.net_minor) == (10_000, 1_000, 9_000)
    assert (order.tax_minor, order.shipping_minor, order.estimated) == (1_898, 490, False)
    assert order.occurred_at == datetime(2026, 11, 21, 18, tzinfo=UTC)
    assert order.version == version_at(datetime(2026, 11, 21, 18, 0, 3, tzinfo=UTC))
    assert (order.codes, order.click_ids) == (("LEA10",), ("clk_01kaz8h0000000000000000000",))
    assert order.customer.key == "7/bob@example.com"
    assert [(each.id, each.sku, each.quantity, each.net_minor) for each in order.lines] == [
        ("77", "SERUM-30", 2, 10_000)
    ]
    assert order.paid is True


def test_orders_of_one_split_cart_stay_apart() -> None:
    """They share the reference, so that it must not be a name of either."""
    [one], [other] = read(message()).reports, read(message(order={"id_order": 43})).reports
    assert not set(one.refs) & set(other.refs)


def test_an_order_is_the_systems_own_with_a_proof_and_all_of_its_codes() -> None:
    """Two ids are two orders; a pixel that carries the secure key is about this one, and can add no code."""
    [order] = read(message()).reports
    assert (order.system, order.proofs, order.lists_codes) == ("prestashop", (EXAMPLE["order"]["secure_key"],), True)
    assert not set(order.proofs) & set(order.refs), "all orders of a customer share the key, so that it names none"
    [bare] = read(message(order_cart_rule=[])).reports
    assert (bare.codes, bare.lists_codes) == ((), True)


def test_a_message_of_the_module_before_proofs_says_nothing_of_them() -> None:
    old = {name: value for name, value in EXAMPLE.items() if name != "order_cart_rule"}
    old["order"] = {name: value for name, value in EXAMPLE["order"].items() if name != "secure_key"}
    [order] = read(json.dumps(old).encode()).reports
    assert (order.proofs, order.codes, order.lists_codes) == ((), (), False)


def test_an_order_that_waits_for_its_payment_is_not_paid_yet() -> None:
    [order] = read(message(order={"valid": False})).reports
    assert order.paid is False


def test_credit_slips_are_refunds_in_every_message_that_follows() -> None:
    [order] = read(message(event="slip", sent_at="2026-11-23T09:00:01Z", order_slip=[EXAMPLE_SLIP])).reports
    slip = next(each for each in order.refunds if each.kind == "refund")
    at = datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert slip == RefundReport("3", amount_minor=2_500, currency="EUR", occurred_at=at, version=version_at(at))


def test_a_cancelled_order_is_taken_back_and_a_live_one_given_back() -> None:
    """A new order says nothing of it; a later message says which, and the newest counts."""
    assert read(message()).reports[0].refunds == ()
    [cancelled] = read(message(event="status", sent_at="2026-11-22T10:00:00Z", order={"cancelled": True})).reports
    [cancellation] = cancelled.refunds
    assert (cancellation.refund_id, cancellation.kind, cancellation.full) == ("cancelled", "cancellation", True)
    [revived] = read(message(event="status", sent_at="2026-11-22T11:00:00Z", order={"cancelled": False})).reports
    assert (revived.refunds[0].refund_id, revived.refunds[0].amount_minor) == ("cancelled", 0)
    assert revived.refunds[0].version > cancellation.version


@pytest.mark.parametrize(
    ("fields", "reason", "names"),
    [
        ({"order": {"id_order": None}}, "missing_value", "/order/id_order is null"),
        ({"order": {"total_products": "1.234"}}, "wrong_value", "could be a thousand"),
        ({"order": {"total_products": "1,234,56"}}, "wrong_value", "/order/total_products"),
        ({"order": {"valid": "perhaps"}}, "wrong_value", '/order/valid is "perhaps"'),
        (
            {"order_detail": [{"product_quantity": "many"}]},
            "wrong_value",
            '/order_detail/* (1): /product_quantity is "many"',
        ),
        (
            {"order_slip": [{**EXAMPLE_SLIP, "total_products_tax_excl": None}]},
            "missing_value",
            "how much was given back",
        ),
        ({"order_slip": [{**EXAMPLE_SLIP, "id_order_slip": None}]}, "missing_value", "/id_order_slip is null"),
        ({"order_slip": [7]}, "missing_value", "/order_slip/* (1): "),
    ],
)
def test_what_cannot_be_meant_is_rejected_with_its_place(fields: dict[str, Any], reason: str, names: str) -> None:
    parsed = read(message(**fields))
    assert (parsed.rejected, parsed.reports) == (reason, ())
    assert names in (parsed.detail or "")


# ── Its signature ────────────────────────────────────────────────────────────────────────────────────────────────────


def signed(body: bytes, at_s: int = NOW_S) -> dict[str, str]:
    digest = hmac.new(SECRET.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Ariane-Timestamp": str(at_s), "X-Ariane-Signature": f"sha256={digest}"}


def check(body: bytes, headers: dict[str, str]) -> str | None:
    return verify("generic", body=body, headers=headers, secrets=[SECRET], now_s=NOW_S, settings=PRESET)


def test_the_time_is_signed_with_the_body() -> None:
    body = message()
    assert check(body, signed(body)) is None
    assert check(body + b"\n", signed(body)) == "wrong_signature"
    assert check(body, {**signed(body), "X-Ariane-Timestamp": str(NOW_S + 1)}) == "wrong_signature"
    assert check(body, signed(body, NOW_S - 301)) == "stale_timestamp"
    assert check(body, {"X-Ariane-Signature": signed(body)["X-Ariane-Signature"]}) == "missing_signature"
