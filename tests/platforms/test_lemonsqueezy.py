"""Lemon Squeezy, as its documentation writes its webhooks: https://docs.lemonsqueezy.com/help/webhooks."""

import json
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

from app.domain.orders import Context, Parsed
from app.platforms.generic.webhook import parse
from tests.platforms.test_generic_places import folded

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
CONTEXT = Context(
    received_at=NOW, currency="EUR", customer_key=lambda _, email: email, settings={"preset": "lemonsqueezy"}
)


def told(event: str, refunded: int = 0, **fields: Any) -> Parsed:
    changed_at = (
        "2026-11-29T10:00:00.000000Z" if event == "order_created" else f"2026-11-30T10:00:0{refunded // 5_400}Z"
    )
    attributes = {
        "identifier": "104e18a2-d755", "user_name": "Ann", "user_email": "ann@shop.example", "currency": "EUR", "subtotal": 10_000,
        "discount_total": 1_000, "tax": 1_800, "total": 10_800, "tax_inclusive": False, "refunded_amount": refunded,
        "status": "paid" if event == "order_created" else "partial_refund", "refunded_at": changed_at if refunded else None,
        "created_at": "2026-11-29T10:00:00.000000Z", "updated_at": changed_at, "test_mode": False, **fields,
    }  # fmt: skip
    custom = {"ariane": "clk_01m8qskjb3e80v356vxjdeewzd", "code": "LEA10"}
    body = {
        "meta": {"event_name": event, "custom_data": custom},
        "data": {"type": "orders", "id": "600001", "attributes": attributes},
    }
    return parse(json.dumps(body).encode(), {"x-event-name": event}, CONTEXT)


def test_an_order_is_read_with_its_code_and_its_click() -> None:
    [report] = told("order_created").reports
    assert (report.net_minor, report.tax_minor, report.paid, report.codes) == (9_000, 1_800, True, ("LEA10",))
    assert (report.click_ids, report.customer.key, report.test) == (
        ("clk_01m8qskjb3e80v356vxjdeewzd",),
        "ann@shop.example",
        False,
    )


def test_prices_that_include_tax_are_net_without_it() -> None:
    [report] = told("order_created", subtotal=10_000, tax=1_500, total=9_000, tax_inclusive=True).reports
    assert report.net_minor == 7_500


def test_what_was_paid_back_so_far_takes_the_goods_in_it_whatever_comes_first() -> None:
    order, half, all_of_it = told("order_created"), told("order_refunded", 5_400), told("order_refunded", 10_800)
    assert [each.amount_minor for each in folded(half, order).effects] == [4_500]
    for messages in permutations([order, half, all_of_it]):
        whole = folded(*messages)
        assert ([each.amount_minor for each in whole.effects], whole.flags) == ([9_000], ())


def test_other_events_are_let_be() -> None:
    assert told("subscription_created").ignored == "ignored_by_rule"
