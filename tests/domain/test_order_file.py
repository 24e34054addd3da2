"""A line of a file says what the body of the API would say; what cannot be read names its field and the reason."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.routes import conversions, refunds
from app.domain import order_fields
from app.domain.bodies import read_order, read_refund
from app.domain.csv_files import Record, Refusal, Sheet
from app.domain.order_fields import ORDER_FIELDS, REFUND_FIELDS, Scalar
from app.domain.order_file import COLUMNS, read_line
from app.domain.orders import Context, OrderReport

NOW = datetime(2026, 11, 22, tzinfo=UTC)
CONTEXT = Context(NOW, "EUR", lambda id_, email: f"{id_}/{email}", shop="lyon")
NDJSON = Sheet("ndjson")
ORDER_NAMES, REFUND_NAMES = ({field.name for field in fields} for fields in (ORDER_FIELDS, REFUND_FIELDS))


def read(header: str, row: str, separator: str = ",", kind: str | None = None) -> object:
    return read_line(Record(2, row.encode()), Sheet("csv", separator, tuple(header.split(separator))), CONTEXT, kind)


def properties(body: dict[str, Any]) -> set[str]:
    return set(body["content"]["application/json"]["schema"]["properties"])


def test_it_knows_the_fields_of_the_api_and_no_others() -> None:
    assert properties(conversions.BODY_SCHEMA) == ORDER_NAMES
    assert properties(refunds.BODY_SCHEMA) == REFUND_NAMES


def test_every_field_but_the_lines_has_its_columns() -> None:
    names = ORDER_NAMES | REFUND_NAMES
    without = {name for name in names if name not in COLUMNS.names}
    assert without == {"lines", "customer"}
    assert {"customer_id", "customer_email", "customer_is_new", "net", "amount"} < set(COLUMNS.names)
    assert len(COLUMNS.names) == len(set(COLUMNS.names))


def test_a_row_is_read_as_the_body_would_be() -> None:
    header = "order_id,occurred_at,currency,net,tax_minor,codes,customer_email,customer_is_new,origin,test"
    row = '#1001,2026-11-21T18:00:00Z,KWD,"49,900",500,LEA10 | VIP;,lea@example.com,yes,first,'
    body = {
        "order_id": "#1001", "occurred_at": "2026-11-21T18:00:00Z", "currency": "KWD", "net_minor": 49_900, "tax_minor": 500,
        "codes": ["LEA10", "VIP"], "customer": {"email": "lea@example.com", "is_new": True}, "origin": "first",
    }  # fmt: skip
    assert read(header, row) == read_order(body, CONTEXT)
    assert read_line(Record(1, json.dumps(body).encode()), NDJSON, CONTEXT) == read_order(body, CONTEXT)


def test_a_row_with_a_refund_id_or_a_type_of_refund_is_a_refund() -> None:
    body = {"order_id": "1001", "refund_id": "r-1", "amount_minor": 1_500, "currency": "EUR"}
    assert read("order_id;refund_id;amount;currency;net", "1001;r-1;15,00;EUR;", ";") == read_refund(body, CONTEXT)
    full = {"order_id": "1001", "refund_id": "c", "full": True}
    assert read("type,order_id,refund_id,full", "refund,1001,c,TRUE") == read_refund(full, CONTEXT)
    won = {"order_id": "1001", "refund_id": "w", "type": "reversal", "reverses": "c"}
    assert read("type,order_id,refund_id,reverses", "reversal,1001,w,c") == read_refund(won, CONTEXT)
    assert read_line(Record(1, json.dumps(won).encode()), NDJSON, CONTEXT) == read_refund(won, CONTEXT)
    assert read_line(Record(1, json.dumps({"type": "refund", **full}).encode()), NDJSON, CONTEXT) == read_refund(
        full, CONTEXT
    )


def test_a_cancellation_and_what_takes_it_back_are_refunds_too() -> None:
    cancelled = {"order_id": "1001", "refund_id": "c", "type": "cancellation"}
    assert read("order_id,refund_id,type,reverses,net", "1001,c,cancellation,,") == read_refund(cancelled, CONTEXT)
    reversal = {"order_id": "1001", "refund_id": "v", "type": "reversal", "reverses": "c"}
    assert read("order_id,refund_id,type,reverses,net", "1001,v,reversal,c,") == read_refund(reversal, CONTEXT)
    assert read("type,order_id,net", "conversion,1001,5.00") == read_order(
        {"order_id": "1001", "net_minor": 500}, CONTEXT
    )


def test_shop_and_kind_of_the_file_are_those_of_lines_that_name_none() -> None:
    found = read("order_id,shop,kind", "1,,", kind="lead")
    assert isinstance(found, OrderReport)
    assert (found.shop, found.kind) == ("lyon", "lead")
    found = read("order_id,shop,kind", "1,paris,signup", kind="lead")
    assert isinstance(found, OrderReport)
    assert (found.shop, found.kind) == ("paris", "signup")


@pytest.mark.parametrize(
    ("words", "test"),
    [(("true", "1", "Yes", "y", "oui", "VRAI"), True), (("false", "0", "No", "n", "non", "FAUX"), False)],
)
def test_a_flag_may_be_written_in_english_and_french(words: tuple[str, ...], test: bool) -> None:
    reports = [read("order_id,test", f"1,{word}") for word in words]
    assert [report.test for report in reports if isinstance(report, OrderReport)] == [test] * len(words)


def test_an_amount_that_is_no_whole_number_is_quoted() -> None:
    found = read("order_id,net_minor", "1,49.90")
    assert isinstance(found, Refusal)
    assert "'49.90' is not a whole number of minor units" in found.detail


def test_a_row_of_empty_cells_is_nothing() -> None:
    assert read("order_id;net", " ; ", ";") is None


@pytest.mark.parametrize(
    ("header", "row", "reason", "field"),
    [
        ("order_id,net", "1", "wrong_cells", None),
        ("order_id,net", '1,"2"3', "wrong_cells", None),
        ("order_id,net", ",5.00", "required", "order_id"),
        ("order_id,net", "1,5 USD", "invalid_amount", "net"),
        ("order_id,net", "1,1.234", "invalid_amount", "net"),
        ("order_id,net", "1,-5.00", "out_of_range", "net_minor"),
        ("order_id,net_minor", "1,49.90", "invalid_amount", "net_minor"),
        ("order_id,currency,net", "1,EURO,5.00", "unknown_currency", "currency"),
        ("order_id,occurred_at", "1,21/11/2026", "invalid_time", "occurred_at"),
        ("order_id,occurred_at", "1,2026-11-21 18:00:00", "invalid_time", "occurred_at"),
        ("order_id,test", "1,maybe", "invalid", "test"),
        ("order_id,type", "1,order", "unknown_type", "type"),
        ("order_id,refund_id,net,amount", "1,r,5.00,5.00", "unknown_field", "net_minor"),
        ("order_id,amount", "1,5.00", "unknown_field", "amount_minor"),
        ("order_id,net", "a\x00b,5.00", "invalid", "order_id"),
    ],
)
def test_a_refused_row_names_the_field_and_the_reason(header: str, row: str, reason: str, field: str | None) -> None:
    found = read(header, row)
    assert isinstance(found, Refusal)
    assert (found.reason, found.field) == (reason, field)
    assert found.detail
    assert found.order_id == ("1" if row.startswith("1,") and field else found.order_id)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not_json"),
        (b"[]", "not_an_object"),
        (b'{"order_id": "1", "order_id": "2"}', "duplicate_keys"),
        (b'{"order_id": "1", "nett_minor": 5}', "unknown_field"),
        (b'{"order_id": "1\xff"}', "not_json"),
        (b'{"order_id": "\\ud800"}', "invalid"),
        (b'{"order_id": "1", "net_minor": 1e2}', "invalid_amount"),
        (b"[" * 40_000, "not_json"),
    ],
)
def test_a_refused_object_has_a_reason(line: bytes, reason: str) -> None:
    found = read_line(Record(1, line), NDJSON, CONTEXT)
    assert isinstance(found, Refusal)
    assert found.reason == reason


@given(st.binary(max_size=80), st.lists(st.sampled_from(COLUMNS.names), min_size=1, max_size=6, unique=True))
def test_no_bytes_make_it_raise(content: bytes, columns: list[str]) -> None:
    for sheet in (NDJSON, Sheet("csv", ";", tuple(columns))):
        read_line(Record(1, content), sheet, CONTEXT)


@given(
    st.dictionaries(
        st.sampled_from(COLUMNS.names), st.sampled_from(["1", "5.00", "x", "true", "2026-11-21T18:00:00Z", "EUR"])
    )
)
def test_no_cells_make_it_raise(row: dict[str, str]) -> None:
    content = ",".join(row.values()).encode()
    read_line(Record(1, content), Sheet("csv", ",", tuple(row)), CONTEXT)


def test_every_reason_stands_in_the_docs() -> None:
    root = Path(__file__).resolve().parents[2]
    read = [
        root / "app" / "domain" / name
        for name in ("order_file.py", "csv_files.py", "strict_json.py", "bodies.py", "order_fields.py")
    ]
    literal = re.compile(
        r'(?:wrong=\(|Unreadable\(|WrongRow\(|code=|code = |FieldError\((?:f?"|path|prefix|\(prefix).*, )"([a-z_0-9]+)"'
    )
    reasons = {word for path in read for word in literal.findall(path.read_text())} | {"cannot_be_recorded"}
    reasons |= {each.code for each in vars(order_fields).values() if isinstance(each, Scalar)}
    assert {
        "wrong_cells",
        "not_json",
        "line_too_long",
        "unknown_field",
        "invalid_time",
        "contradiction",
        "too_many",
    } <= reasons
    page = (root / "docs" / "import.md").read_text()
    unsaid = {word for word in reasons if f"`{word}`" not in page}
    assert {word for word in unsaid if not word.endswith("_minor")} <= {"wrong_header"}


def test_every_column_stands_in_the_docs() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "import.md").read_text()
    assert [name for name in COLUMNS.names if not name.endswith("_minor") and f"`{name}`" not in page] == []
