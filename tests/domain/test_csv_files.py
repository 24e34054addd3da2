"""Files cut into records: the same whatever the pieces, nothing swallowed, nothing held that is too long."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import clock
from app.domain.csv_files import LINE_BYTES_MAX, Columns, Cutter, Record, Sheet, read_header, read_row
from app.errors import Invalid

EXAMPLE = "order_id,net"
COLUMNS = Columns(("order_id", "net", "net_minor", "codes"), (("order_id",),), EXAMPLE)


def cut(whole: bytes, form: str = "csv", size: int = 1 << 20) -> list[Record]:
    cutter = Cutter(form)  # type: ignore[arg-type]
    found = [each for at in range(0, len(whole), size) for each in cutter.feed(whole[at : at + size])]
    return found + list(cutter.close())


@given(
    st.lists(st.lists(st.text(st.sampled_from('ab",;\r\né')), min_size=2, max_size=2), max_size=8), st.integers(1, 9)
)
def test_what_a_csv_writer_writes_is_cut_into_its_rows_whatever_the_pieces(rows: list[list[str]], size: int) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    whole = file.getvalue().encode()
    records = cut(whole, size=size)
    assert records == cut(whole)
    sheet = Sheet("csv", ",", ("a", "b"))
    assert [read_row(each, sheet) for each in records] == [
        {name: cell.strip() for name, cell in zip("ab", row, strict=True) if cell.strip()} for row in rows
    ]


@given(st.binary(max_size=300).map(lambda raw: raw.replace(b"a", b'"').replace(b"b", b"\n")), st.integers(1, 40))
def test_no_bytes_make_it_raise_and_pieces_never_matter(whole: bytes, size: int) -> None:
    for form in ("csv", "ndjson"):
        assert cut(whole, form, size) == cut(whole, form)


def test_numbers_are_those_an_editor_shows() -> None:
    found = cut(b'a,b\r\n\r\n1,"two\nlines"\r\n3,4')
    assert [(each.number, each.content) for each in found] == [(1, b"a,b"), (3, b'1,"two\nlines"'), (5, b"3,4")]


def test_a_line_that_is_too_long_is_refused_by_number_and_never_held() -> None:
    cutter = Cutter("ndjson")
    found = list(cutter.feed(b"{}\n" + b"x" * 1_000))
    for _ in range(200):
        found += cutter.feed(b"x" * 50_000)
        assert len(cutter._rest) <= LINE_BYTES_MAX
    found += cutter.feed(b"\n{}\n")
    found += cutter.close()
    assert [(each.number, each.wrong and each.wrong[0]) for each in found] == [
        (1, None),
        (2, "line_too_long"),
        (3, None),
    ]


def test_a_quote_that_is_never_closed_refuses_its_line_and_no_other() -> None:
    rows = b"".join(b"%d,12.00\n" % number for number in range(20_000))
    found = cut(b'order_id,net\n17" screen,5.00\n' + rows)
    assert [each.number for each in found if each.wrong] == [2]
    assert len(found) == 20_002
    assert [each.wrong and each.wrong[0] for each in cut(b'a,b\n"1,2\n3,4')] == [None, "unclosed_quote", None]


def test_an_open_quote_holds_no_more_blank_lines_than_others() -> None:
    """Millions of them stand in a small file, and each is an object in memory."""
    cutter = Cutter("csv")
    list(cutter.feed(b'order_id\n"1'))
    for _ in range(4):
        list(cutter.feed(b"\n" * LINE_BYTES_MAX))
    assert len(cutter._open) <= LINE_BYTES_MAX
    assert cutter.lines == 1 + 4 * LINE_BYTES_MAX


def test_a_header_of_a_great_many_columns_is_refused_at_once() -> None:
    """Each name is compared with every other, and with what it may be meant for."""
    began_s = clock.monotonic_s()
    with pytest.raises(Invalid, match="60001 columns, 100 are read") as caught:
        read_header(Record(1, b"," * 60_000), COLUMNS)
    assert caught.value.fields == ()
    assert clock.monotonic_s() - began_s < 1


@pytest.mark.parametrize(
    ("header", "separator", "columns"),
    [
        (b"order_id,net,codes", ",", ("order_id", "net", "codes")),
        (b"\xef\xbb\xbfOrder_ID; Net", ";", ("order_id", "net")),
        (b'"order_id"\t"net"', "\t", ("order_id", "net")),
        (b"order_id", ",", ("order_id",)),
    ],
)
def test_headers_that_spreadsheets_write(header: bytes, separator: str, columns: tuple[str, ...]) -> None:
    assert read_header(Record(1, header), COLUMNS) == Sheet("csv", separator, columns)


@pytest.mark.parametrize(
    ("header", "code", "detail"),
    [
        (b"order,net", "unknown_column", "is order_id meant?"),
        (b"net", "missing_column", "order_id is missing"),
        (b"order_id,net,NET", "duplicate_column", "stands twice"),
        (b"order_id,net,net_minor", "ambiguous", "either net or net_minor"),
        (b"order_id;net,codes", None, "two kinds of separators"),
        (b"order_id,", "unknown_column", "(empty)"),
        (b"\xff\xfeo\x00r\x00", None, "UTF-16"),
        (b"order_id,montant \xe9", None, "not UTF-8"),
        (b'"order_id,net', None, "quotes"),
        (b"order_id\x00,net", "unknown_column", "order_id␀"),
    ],
)
def test_a_wrong_header_is_shown_with_what_is_expected(header: bytes, code: str | None, detail: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_header(Record(1, header), COLUMNS)
    assert caught.value.code == "wrong_header"
    assert detail in caught.value.message
    assert f"such as '{EXAMPLE}'" in caught.value.message
    assert [each.code for each in caught.value.fields][:1] == ([code] if code else [])
