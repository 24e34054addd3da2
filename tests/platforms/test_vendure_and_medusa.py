"""Vendure and Medusa, presets of the generic source. Neither has webhooks: the messages are those of the plugin and the subscriber on their pages, of one form.

Goal: a message is the order as it stands. That both shops really send it, and that it is right to the cent, is shown by tests/shops (`make shops`).
"""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from app.domain.orders import Context, Parsed, RefundReport, version_at
from app.platforms.generic.webhook import parse
from app.platforms.signing import verify
from demo.simulator import DOCUMENTS
from demo.simulator.messages import Message
from demo.simulator.prestashop import sign

SHOPS = ("medusa", "vendure")
ORDER_ID = {"medusa": "order_01KAZ8H3V1F5T2Q8W6E4R7Y9ZB", "vendure": "FNKDSE1YGV1TQGJ5"}
REFUND_ID = {"medusa": "ref_01KAZ8MEDUSA", "vendure": "3"}
CODES = {"medusa": "promotions", "vendure": "coupon_codes"}
SENT = datetime(2026, 11, 23, 9, 0, 1, 204_000, tzinfo=UTC)
pytestmark = pytest.mark.parametrize("shop", SHOPS)


def message(shop: str, *, order: dict[str, Any] | None = None, **fields: Any) -> bytes:
    kept = json.loads((DOCUMENTS / f"{shop}_order.json").read_bytes())
    return json.dumps({**kept, "order": {**kept["order"], **(order or {})}, **fields}).encode()


def read(shop: str, body: bytes) -> Parsed:
    context = Context(
        received_at=datetime(2026, 11, 25, tzinfo=UTC),
        currency="USD",
        customer_key=lambda number, email: f"{number}/{email}",
        settings={"preset": shop},
    )
    return parse(body, {"content-type": "application/json"}, context)


def test_an_order_is_its_goods_before_tax_and_shipping_with_all_of_its_codes(shop: str) -> None:
    [order] = read(shop, message(shop)).reports
    assert (order.order_id, order.system, order.currency) == (ORDER_ID[shop], shop, "EUR")
    assert (order.net_minor, order.tax_minor, order.shipping_minor, order.estimated) == (9_000, 1_898, 490, False)
    assert (order.occurred_at, order.version) == (datetime(2026, 11, 21, 18, tzinfo=UTC), version_at(SENT))
    assert (order.codes, order.lists_codes, order.paid, order.test) == (("LEA10",), True, True, False)
    assert order.click_ids == ("clk_01kaz8h0000000000000000000",)
    assert (order.customer.key or "").endswith("/bob@example.com")
    assert [(each.sku, each.quantity, each.net_minor) for each in order.lines] == [("SERUM-30", 1, 4_500)]


def test_a_list_of_codes_that_is_empty_says_that_there_is_none(shop: str) -> None:
    [order] = read(shop, message(shop, **{CODES[shop]: []})).reports
    assert (order.codes, order.lists_codes) == ((), True)


def test_what_was_cut_and_what_was_paid_back_beyond_it_are_refunds_of_their_own(shop: str) -> None:
    [order] = read(shop, message(shop)).reports
    of = {"currency": "EUR", "version": version_at(SENT)}
    assert order.refunds == (
        RefundReport("cut", amount_minor=4_500, **of),
        RefundReport(REFUND_ID[shop], amount_minor=500, **of),
    )


def test_a_refund_that_paid_for_what_was_cut_takes_nothing_more(shop: str) -> None:
    [order] = read(
        shop, message(shop, refunds=[{"id": "9", "net": "0.00", "updated_at": "2026-11-23T09:00:01.204Z"}])
    ).reports
    assert [each.amount_minor for each in order.refunds] == [0]


def test_a_cancelled_order_is_taken_back_and_a_live_one_says_nothing_of_it(shop: str) -> None:
    [order] = read(shop, message(shop, order={"cancelled": True}, refunds=[])).reports
    assert [(each.kind, each.full) for each in order.refunds] == [("cancellation", True)]
    assert read(shop, message(shop, refunds=[])).reports[0].refunds == ()


def test_an_order_that_waits_for_its_capture_is_not_paid_yet(shop: str) -> None:
    assert read(shop, message(shop, order={"paid": False})).reports[0].paid is False


def test_yen_have_no_decimals(shop: str) -> None:
    [order] = read(shop, message(shop, order={"currency": "JPY", "net": "4500", "tax": "0", "shipping": "0"}, lines=[], refunds=[])).reports  # fmt: skip
    assert (order.currency, order.net_minor) == ("JPY", 4_500)


def test_what_cannot_be_meant_is_rejected_with_its_place(shop: str) -> None:
    parsed = read(shop, message(shop, order={"net": "many"}))
    assert (parsed.rejected, parsed.reports) == ("wrong_value", ())
    assert "/order/net" in (parsed.detail or "")


def test_the_time_is_signed_with_the_body(shop: str) -> None:
    signed = sign(Message(message(shop)), "the secret of the shop", SENT)

    def check(body: bytes, later_s: int = 0) -> str | None:
        headers = dict(signed.headers)
        return verify(
            "generic", body=body, headers=headers, secrets=["the secret of the shop"], now_s=SENT.timestamp() + later_s, settings={"preset": shop},
        )  # fmt: skip

    assert check(signed.body) is None
    assert check(signed.body + b"\n") == "wrong_signature"
    assert check(signed.body, 302) == "stale_timestamp"
