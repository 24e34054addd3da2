"""Reports in their stored form, which is their identity for ever, and the names and clicks in them."""

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from app.domain.orders import (
    ADJUSTMENT_KINDS,
    CODES_MAX,
    KIND,
    LINES_MAX,
    ORIGINS,
    TRUST_PIXEL,
    TRUST_SERVER,
    TRUST_WEBHOOK,
    Adjustment,
    Customer,
    OrderLine,
    OrderReport,
    Receipt,
    RefundReport,
    Witness,
    content_hash,
    encode_report,
    order_ref,
    read_click,
    read_refund_report,
    read_report,
    stated_fields,
    version_at,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HELSINKI = ZoneInfo("Europe/Helsinki")
REFUND = RefundReport(
    "r1", "chargeback", 5, True, "EUR", NOON.astimezone(HELSINKI), 7, (OrderLine("1", 2, 5, "s", "n"), OrderLine("2")), is_gross=True, cumulative=True,
    included_in="ch", line_based=True, reverses="r0",
)  # fmt: skip


def test_a_refund_is_stored_under_the_names_it_always_had() -> None:
    assert encode_report(REFUND) == (
        b'{"amount_minor":5,"by_lines":true,"cumulative":true,"currency":"EUR","full":true,"kind":"chargeback",'
        b'"lines":[{"id":"1","name":"n","net_minor":5,"quantity":2,"sku":"s"},{"id":"2"}],"occurred_at":"2026-11-22T12:00:00Z",'
        b'"of_total":true,"part_of":"ch","refund_id":"r1","reverses":"r0","version":7}'
    )
    assert read_refund_report(encode_report(REFUND)) == replace(REFUND, occurred_at=NOON)


def test_a_default_is_not_stored_whatever_object_it_is() -> None:
    assert encode_report(RefundReport("r", "".join(["re", "fund"]), occurred_at=None)) == b'{"refund_id":"r"}'
    unknown = OrderReport("main", "sale", ("1",), customer=Customer(None, None), refunds=(REFUND,))
    assert encode_report(unknown) == b'{"kind":"sale","refs":["1"],"shop":"main"}'
    assert read_report(encode_report(unknown)) == OrderReport("main", "sale", ("1",))


def test_what_a_report_states_is_shown_by_the_same_names_in_the_order_of_its_fields() -> None:
    shown = stated_fields(replace(REFUND, lines=()))
    assert list(shown.items()) == [
        ("refund_id", "r1"), ("kind", "chargeback"), ("amount_minor", 5), ("full", True), ("currency", "EUR"), ("occurred_at", NOON),
        ("version", 7), ("of_total", True), ("cumulative", True), ("part_of", "ch"), ("by_lines", True), ("reverses", "r0"),
    ]  # fmt: skip
    assert shown["occurred_at"].tzinfo is UTC  # type: ignore[attr-defined]
    report = OrderReport("main", "sale", ("1",), customer=Customer("k"), refunds=(REFUND,))
    assert stated_fields(report) == {"shop": "main", "kind": "sale", "refs": ("1",), "customer": {"key": "k"}}


def test_a_fact_is_what_one_place_stored_with_its_trust() -> None:
    receipt = Receipt(20, "api", "generic", NOON, "src", "dlv")
    assert content_hash(receipt, b"{}") == hashlib.sha256(b"api\ngeneric\nsrc\n20\n{}").digest()
    assert content_hash(replace(receipt, received_at=NOON + timedelta(1), delivery_id=None), b"{}") == content_hash(
        receipt, b"{}"
    )
    assert content_hash(replace(receipt, origin_id=None), b"{}") == hashlib.sha256(b"api\ngeneric\n\n20\n{}").digest()


def test_trust_outweighs_the_version_and_the_version_the_hash() -> None:
    report = OrderReport("main", "sale", ("1",), version=3)
    witness = Witness(report, 20, b"h", NOON, "api", "generic")
    assert (witness.rank, witness.place) == ((20, 3, b"h"), (20, "api", "generic"))
    assert Adjustment(REFUND, 10, b"g", NOON).rank == (10, 7, b"g")
    assert (TRUST_WEBHOOK, TRUST_SERVER, TRUST_PIXEL) == (30, 20, 10)


@pytest.mark.parametrize(
    ("report", "stated"),
    [
        (RefundReport("r", amount_minor=5), 5),
        (RefundReport("r"), 0),
        (RefundReport("r", amount_minor=5, full=True), None),
        (RefundReport("r", amount_minor=5, line_based=True), None),
    ],
)
def test_an_amount_is_stated_unless_it_is_all_that_is_left_or_the_lines_worth(
    report: RefundReport, stated: int | None
) -> None:
    assert report.stated_minor == stated


@pytest.mark.parametrize(
    ("name", "ref"),
    [
        ("1001", "1001"),
        ("#1001", "1001"),
        ("# 1001", "1001"),
        ("##1", "#1"),
        ("#", "#"),
        ("gid://shopify/Order/77", "77"),
        ("gid://shopify/OrderIdentity/77", "77"),
        ("gid://shopify/Product/77", "gid://shopify/Product/77"),
        ("gid://shopify/Order/٧", "gid://shopify/Order/٧"),
        ("gid://shopify/Order/77#1", "gid://shopify/Order/77#1"),
    ],
)
def test_the_names_of_one_order_are_compared_in_one_form(name: str, ref: str) -> None:
    assert order_ref(name) == ref


def test_a_version_is_a_time_in_microseconds() -> None:
    assert version_at(None) == 0
    assert version_at(datetime(1970, 1, 1, 0, 0, 1, 7, UTC)) == 1_000_007


def test_what_is_no_click_of_ours_names_none() -> None:
    click_id = UUID("019ac5a0-0000-7000-8000-000000000001")
    assert read_click(f"\t{click_id}\n") == click_id
    for version in (1, 4, 6, 8):
        assert read_click(f"019ac5a0-0000-{version}000-8000-000000000001") is None
    assert read_click("019ac5a0-0000-7000-8000") is None


def test_the_words_and_limits_of_reports_are_those_of_the_api() -> None:
    assert " ".join(ADJUSTMENT_KINDS) == "refund cancellation chargeback reversal"
    assert " ".join(ORIGINS) == "first renewal unknown"
    assert (CODES_MAX, LINES_MAX) == (20, 1_000)
    assert all(KIND.fullmatch(kind) for kind in ("sale", "a", "lead_2", "a" * 40))
    assert not any(KIND.fullmatch(kind) for kind in ("", "Sale", "2nd", "_a", "a" * 41, "é", "a-b", "aé"))
