"""A line of the shop's own list is read as shops export it, or refused with the field at fault."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.csv_files import Record, Refusal, Sheet, read_header
from app.domain.order_list import COLUMNS, ListDefaults, read_listed
from app.domain.reconciliation import Listed
from app.errors import Invalid

PARIS = ListDefaults("EUR", ZoneInfo("Europe/Paris"))


def read(header: str, row: str) -> Listed | Refusal | None:
    return read_listed(Record(7, row.encode()), Sheet("csv", ",", tuple(header.split(","))), PARIS)


def test_a_line_of_the_list_is_read_as_shops_export_it() -> None:
    found = read(
        "order_id,occurred_at,currency,total,tax,shipping,refunded,status",
        '#1001,2026-11-20 18:00:00 +0100,eur,"120,00",20.00,5.00,-10.00,Completed',
    )
    at = datetime(2026, 11, 20, 17, tzinfo=UTC)
    assert found == Listed(
        7, "1001", "#1001", "EUR", 12_000, 2_000, 500, 1_000, False, at, at + timedelta(microseconds=1)
    )
    assert found.left_minor == 8_500


def test_a_day_is_the_whole_day_in_the_brands_zone() -> None:
    found = read("order_id,occurred_at,net", "1,2026-10-25,5.00")
    assert isinstance(found, Listed)
    assert found.occurred_at is not None
    assert found.until is not None
    assert found.until.astimezone(UTC) - found.occurred_at.astimezone(UTC) == timedelta(hours=25)


@pytest.mark.parametrize("status", ["cancelled", "Refunded", "failed", "Annulée"])
def test_cancelled_orders_bring_nothing(status: str) -> None:
    found = read("order_id,total,status", f"1,10.00,{status}")
    assert isinstance(found, Listed)
    assert (found.total_minor, found.left_minor) == (1_000, 0)
    found = read("order_id,total,cancelled", "1,10.00,2026-11-20 10:00:00")
    assert isinstance(found, Listed)
    assert found.cancelled


@pytest.mark.parametrize(
    ("header", "row", "reason"),
    [
        ("order_id,total", ",5.00", "required"),
        ("order_id,total", "1,", "required"),
        ("order_id,total", "1,5 $$", "invalid_amount"),
        ("order_id,total,net", "1,5,4", "contradiction"),
        ("order_id,total,tax", "1,5.00,6.00", "out_of_range"),
        ("order_id,total,currency", "1,5.00,E", "unknown_currency"),
        ("order_id,total,occurred_at", "1,5.00,20/11/2026", "invalid_time"),
        ("order_id,total,occurred_at", "1,5.00,2026-13-45", "invalid_time"),
        ("order_id,total,cancelled", "1,5.00,maybe", "invalid"),
        ("order_id,total", "1", "wrong_cells"),
    ],
)
def test_a_refused_line_has_a_reason(header: str, row: str, reason: str) -> None:
    found = read(header, row)
    assert isinstance(found, Refusal)
    assert (found.reason, bool(found.detail)) == (reason, True)


@given(st.binary(max_size=60), st.dictionaries(st.sampled_from(COLUMNS.names), st.text(max_size=12), min_size=1))
def test_no_bytes_and_no_cells_make_it_raise(content: bytes, row: dict[str, str]) -> None:
    read_listed(Record(1, content), Sheet("ndjson"), PARIS)
    read_listed(Record(1, ",".join(row.values()).encode()), Sheet("csv", ",", tuple(row)), PARIS)


def read_object(**row: Any) -> Listed | Refusal | None:
    return read_listed(Record(3, json.dumps(row).encode()), Sheet("ndjson"), PARIS)


def listed(header: str, row: str) -> Listed:
    found = read(header, row)
    assert isinstance(found, Listed), found
    return found


def test_refunds_may_be_listed_with_their_tax_goods_first() -> None:
    columns = "order_id,total,tax,shipping,refunded_gross"
    assert listed(columns, "1,108.00,18.00,,54.00").refunded_minor == 4_500
    assert listed(columns, "1,108.00,18.00,,-108.00").refunded_minor == 9_000
    assert listed(columns, "1,85.74,14.29,8.00,15.62").refunded_minor == 1_302
    both = read("order_id,total,refunded,refunded_gross", "1,10,1,1")
    assert isinstance(both, Refusal)
    assert (both.reason, both.field) == ("contradiction", "refunded_gross")


@pytest.mark.parametrize(
    ("row", "refusal"),
    [
        ({"order_id": "#7", "total": "x"}, ("invalid_amount", "total 'x' is not an amount such as 49.90", "total", "#7")),
        ({"order_id": 7, "net_minor": "1.5"}, ("invalid_amount", "net_minor '1.5' is not a whole number of minor units", "net_minor", "7")),
        ({"order_id": "7", "net_minor": True}, ("invalid_amount", "net_minor 'True' is not a whole number of minor units", "net_minor", "7")),
        ({"order_id": "7", "net_minor": "9" * 50}, ("invalid_amount", f"net_minor '{'9' * 40}' is not a whole number of minor units", "net_minor", "7")),
        ({"order_id": "7", "total": "-1"}, ("out_of_range", "total is negative", "total", "7")),
        ({"order_id": "7", "tax_minor": -1}, ("out_of_range", "tax_minor is negative", "tax_minor", "7")),
        ({"order_id": "7", "total": "5", "net": "4"}, ("contradiction", "net and total are both given; leave one of them out", "net", "7")),
        ({"order_id": "7", "tax": "4"}, ("required", "total is required, or net", "total", "7")),
        ({"order_id": "7", "total": 5, "tax": 3, "shipping": "2.01"}, ("out_of_range", "total is less than tax and shipping together", "total", "7")),
        ({"total": "5"}, ("required", "order_id is required", "order_id", None)),
        ({"order_id": "", "total": "5"}, ("required", "order_id must not be empty", "order_id", "")),
        ({"order_id": "7" * 300, "total": "5"}, ("required", "order_id is longer than 200 characters", "order_id", "7" * 200)),
        ({"order_id": "7", "currency": "EURO"}, ("unknown_currency", "currency 'EURO' is not an ISO 4217 currency", "currency", "7")),
        ({"order_id": "7", "net": 5, "cancelled": "m" * 50}, ("invalid", f"cancelled '{'m' * 40}' is neither true nor false nor a time", "cancelled", "7")),
        ({"order_id": 7, "net": 5, "occurred_at": "1999-12-31"}, ("invalid_time", "occurred_at must lie between the years 2000 and 2100", "occurred_at", "7")),
        ({"order_id": "7", "total": 5, "occurred_at": "noon"}, ("invalid_time", "occurred_at must be a time such as 2026-11-21T18:00:00Z", "occurred_at", "7")),
        ({"order_id": "7", "x" * 70: 1}, ("unknown_field", f"{'x' * 60} is not a field of an order list", "x" * 60, None)),
    ],
)  # fmt: skip
def test_a_refusal_names_the_fault_its_field_and_the_order(row: dict[str, Any], refusal: tuple[str, ...]) -> None:
    found = read_object(**row)
    assert found == Refusal(*refusal)


def test_a_line_that_is_no_row_is_blamed_itself_and_a_body_is_not() -> None:
    for content, sheet, field in (
        (b"[1]", Sheet("ndjson"), "the line"),
        (b"1,2", Sheet("csv", ",", ("order_id",)), "the line"),
        (b"{", Sheet("ndjson"), None),
    ):
        found = read_listed(Record(1, content), sheet, PARIS)
        assert isinstance(found, Refusal)
        assert (found.field, found.order_id) == (field, None)
    unclosed = Record(1, wrong=("unclosed_quote", "a quote is opened"))
    assert read_listed(unclosed, Sheet("csv"), PARIS) == Refusal("unclosed_quote", "a quote is opened")


def test_a_row_without_anything_in_it_is_no_order() -> None:
    assert read("order_id,total", ",") is None
    assert read_object(order_id=None, total=None) is None
    assert read_object() is None


def test_the_total_is_given_or_made_of_net_tax_and_shipping() -> None:
    found = listed("order_id,net,tax,shipping", "1,10.00,2.00,0.50")
    assert (found.total_minor, found.tax_minor, found.shipping_minor, found.net_minor) == (1_250, 200, 50, 1_000)
    assert listed("order_id,net", "1,10.00").total_minor == 1_000
    found = listed("order_id,total,tax,shipping", "1,2.50,2.00,0.50")
    assert (found.total_minor, found.net_minor) == (250, 0)
    found = listed("order_id,total", "1,2.50")
    assert (found.tax_minor, found.shipping_minor, found.refunded_minor, found.cancelled) == (None, None, 0, False)
    assert (found.number, found.ref, found.order_id, found.currency) == (7, "1", "1", "EUR")
    assert (found.occurred_at, found.until) == (None, None)


def test_amounts_are_in_major_or_in_minor_units_and_refunds_of_either_sign() -> None:
    found = listed("order_id,total_minor,tax_minor,refunded_minor", "1,+1000,200,-300")
    assert (found.total_minor, found.tax_minor, found.refunded_minor) == (1_000, 200, 300)
    assert listed("order_id,net_minor,currency", "1,999999999999999,jpy").currency == "JPY"
    assert listed("order_id,total,currency", "1,500,JPY").total_minor == 500
    assert listed("order_id,total_minor", "1,0").total_minor == 0
    # Both spellings of one amount in one object: the major one counts.
    both = read_object(order_id="1", total="5", total_minor=7)
    assert isinstance(both, Listed)
    assert both.total_minor == 500


@pytest.mark.parametrize(
    ("text", "cancelled"), [("yes", True), ("Vrai", True), ("no", False), ("FAUX", False), ("2026-11-20 10:00", True)]
)
def test_a_mark_or_a_time_says_that_it_was_cancelled(text: str, cancelled: bool) -> None:
    assert listed("order_id,total,cancelled", f"1,5,{text}").cancelled is cancelled


def test_a_status_that_is_not_known_counts_and_a_mark_does_not_outweigh_one_that_is() -> None:
    assert not listed("order_id,total,status", "1,5,shipped").cancelled
    assert listed("order_id,total,status,cancelled", "1,5, VOIDED ,no").cancelled
    found = listed("order_id,status", "1,draft")
    assert (found.total_minor, found.cancelled) == (0, True)


def test_a_time_lasts_a_microsecond_and_its_offset_may_stand_apart() -> None:
    at = datetime(2026, 11, 20, 17, tzinfo=UTC)
    for text in ("2026-11-20T18:00:00+01:00", "2026-11-20 18:00:00 +0100", "2026-11-20 17:00:00Z"):
        found = listed("order_id,total,occurred_at", f"1,5,{text}")
        assert (found.occurred_at, found.until) == (at, at + timedelta(microseconds=1))
    found = listed("order_id,total,occurred_at", "1,5,2026-11-20")
    assert found.occurred_at == datetime(2026, 11, 20, tzinfo=PARIS.zone)
    assert found.until == datetime(2026, 11, 21, tzinfo=PARIS.zone)


def test_the_columns_are_the_fields_in_their_order_and_the_example_is_one_of_its_headers() -> None:
    assert " ".join(COLUMNS.names) == (
        "order_id occurred_at currency status cancelled total net tax shipping refunded refunded_gross"
        " total_minor net_minor tax_minor shipping_minor refunded_minor refunded_gross_minor"
    )
    assert COLUMNS.example == "order_id,occurred_at,currency,total,tax,shipping,refunded,status"
    assert read_header(Record(1, COLUMNS.example.encode()), COLUMNS).columns == tuple(COLUMNS.example.split(","))
    for amount in ("total", "total_minor", "net", "net_minor"):
        assert read_header(Record(1, f"order_id,{amount}".encode()), COLUMNS).columns == ("order_id", amount)
    for missing in (b"order_id,tax", b"total"):
        with pytest.raises(Invalid, match="is missing"):
            read_header(Record(1, missing), COLUMNS)


@pytest.mark.parametrize(
    "status",
    ["cancelled", "canceled", "voided", "void", "refunded", "failed", "expired", "draft", "trash", "checkout-draft", "annulé", "annulée",
     "remboursé", "remboursée", "échoué", "échouée", "storniert"],
)  # fmt: skip
def test_each_status_of_a_cancelled_order_is_known(status: str) -> None:
    assert listed("order_id,total,status", f"1,5,{status}").cancelled
