"""Files cut into records: the same whatever the pieces, nothing swallowed, nothing held that is too long."""

import csv
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import clock
from app.domain.csv_files import (
    LINE_BYTES_MAX,
    NO,
    YES,
    Columns,
    Cutter,
    Record,
    Sheet,
    WrongRow,
    csv_row,
    read_cell,
    read_header,
    read_row,
    split_row,
)
from app.domain.strict_json import Unreadable
from app.errors import FieldError, Invalid

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
        (b"order,net", "unknown_column", "order_id may be meant"),
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


@pytest.mark.parametrize("form", ["csv", "ndjson"])
@pytest.mark.parametrize("size", [1 << 20, 1_000, LINE_BYTES_MAX, LINE_BYTES_MAX + 1])
def test_a_line_may_have_the_greatest_length_and_not_a_byte_more(form: str, size: int) -> None:
    longest = b"x" * LINE_BYTES_MAX
    found = cut(longest + b"\n" + longest + b"x\n" + longest + b"\nend", form, size)
    assert [(each.number, len(each.content), each.wrong and each.wrong[0]) for each in found] == [
        (1, LINE_BYTES_MAX, None), (2, 0, "line_too_long"), (3, LINE_BYTES_MAX, None), (4, 3, None),
    ]  # fmt: skip
    assert found[1].wrong == ("line_too_long", "line 2 has more than 65536 bytes")


def test_a_record_with_line_breaks_may_have_the_greatest_length_and_not_a_byte_more() -> None:
    for more, lines in ((0, [1, 3]), (1, [1, 2, 3])):
        opened = b'"' + b"a" * 1_000
        whole = opened + b"\n" + b"b" * (LINE_BYTES_MAX - len(opened) - 3 + more) + b'"\nc'
        assert [each.number for each in cut(whole)] == lines


def test_a_quote_that_meets_a_line_too_long_is_given_up_and_that_line_refused() -> None:
    found = cut(b'"open\n' + b"x" * (LINE_BYTES_MAX + 1) + b"\nend")
    assert [(each.number, each.wrong and each.wrong[0]) for each in found] == [
        (1, "unclosed_quote"), (2, "line_too_long"), (3, None),
    ]  # fmt: skip
    assert found[0].wrong == ("unclosed_quote", 'a quote (") is opened in line 1 and not closed')


def test_quotes_mean_nothing_in_json_lines_and_carriage_returns_end_a_line_with_the_feed() -> None:
    assert [each.content for each in cut(b'{"a": "\r\n"}\r\n', "ndjson")] == [b'{"a": "', b'"}']
    assert [each.content for each in cut(b"a, \r\n")] == [b"a, "]
    assert [each.content for each in cut(b'"a\n" \r\n')] == [b'"a\n" ']
    assert [each.content for each in cut(b'1,"a\r\nb"\r\n2,c\r\n')] == [b'1,"a\r\nb"', b"2,c"]


def test_after_a_record_with_line_breaks_the_next_quote_opens_another() -> None:
    found = cut(b'"a\nb"\n"c\nd"\ne')
    assert [(each.number, each.content) for each in found] == [(1, b'"a\nb"'), (3, b'"c\nd"'), (5, b"e")]


def test_the_lines_of_a_file_are_counted_however_it_ends() -> None:
    for whole, lines in ((b"", 0), (b"a", 1), (b"a\n", 1), (b"a\n\nb", 3), (b"x" * (LINE_BYTES_MAX + 1), 1)):
        cutter = Cutter("csv")
        records = [*cutter.feed(whole), *cutter.close()]
        assert cutter.lines == lines
        assert all(each.number <= lines for each in records)


# ── Headers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

EITHER = Columns(
    ("order_id", "total", "total_minor", "net", "net_minor"), (("order_id",), ("total", "total_minor", "net")), "x"
)


def faults_of(header: bytes, columns: Columns = COLUMNS) -> tuple[FieldError, ...]:
    with pytest.raises(Invalid) as caught:
        read_header(Record(1, header), columns)
    return caught.value.fields


def test_one_column_of_each_group_is_required_and_one_is_enough() -> None:
    for header in (b"order_id,total", b"order_id,net", b"net_minor,total_minor,order_id"):
        assert read_header(Record(1, header), EITHER).columns == tuple(header.decode().split(","))
    assert faults_of(b"order_id", EITHER) == (
        FieldError("total", "is missing or total_minor or net", "missing_column"),
    )
    assert faults_of(b"order_id,total,net", EITHER) == (FieldError("total", "give either total or net", "ambiguous"),)
    assert faults_of(b"order_id,total_minor,net", EITHER) == (
        FieldError("total_minor", "give either total_minor or net", "ambiguous"),
    )
    # Both spellings of one amount are one fault, not two.
    assert faults_of(b"order_id,total,total_minor", EITHER) == (
        FieldError("total", "give either total or total_minor", "ambiguous"),
    )


def test_every_wrong_column_is_named_and_the_sentence_names_five() -> None:
    header = b"order_id,a,b,c,a,d,e"
    errors = faults_of(header)
    assert [(each.field, each.code) for each in errors] == [
        *((name, "unknown_column") for name in "abcade"), ("a", "duplicate_column"),
    ]  # fmt: skip
    assert errors[0].reason == "is not a column"
    with pytest.raises(Invalid) as caught:
        read_header(Record(1, header), COLUMNS)
    assert caught.value.message.count("is not a column;") == 4
    assert caught.value.message.count("is not a column.") == 1


def test_names_of_wrong_columns_are_shown_short_and_printable() -> None:
    [error] = faults_of(b"order_id," + b"x" * 70)
    assert error.field == "x" * 60
    [error] = faults_of(b"order_id,n\x00et")
    assert (error.field, error.reason) == ("net", "is not a column; net may be meant")


def test_a_header_is_shown_up_to_two_hundred_characters() -> None:
    with pytest.raises(Invalid) as caught:
        read_header(Record(1, b"order_id," + b"y" * 300), COLUMNS)
    assert f"line 1 reads {'order_id,' + 'y' * 191!r}: " in caught.value.message


def test_a_header_that_cannot_be_read_is_shown_as_far_as_it_can() -> None:
    for record, message in (
        (Record(1, wrong=("line_too_long", "line 1 has more than 65536 bytes")), "line 1 reads '': line 1 has more"),
        (Record(1, b"caf\xe9"), "line 1 reads 'caf\ufffd': is not UTF-8; save"),
        (Record(1, b"\xfe\xff\x00a"), "line 1 reads '': is UTF-16; save"),
        (Record(1, b"a;b,c"), "line 1 reads 'a;b,c': holds two kinds of separators"),
    ):
        with pytest.raises(Invalid) as caught:
            read_header(record, COLUMNS)
        assert caught.value.message.startswith(message)


def test_a_hundred_columns_are_read() -> None:
    names = [f"c{number}" for number in range(100)]
    wide = Columns(tuple(names), (), "c1")
    assert read_header(Record(1, ",".join(names).encode()), wide).columns == tuple(names)
    with pytest.raises(Invalid, match="101 columns, 100 are read"):
        read_header(Record(1, ",".join([*names, "more"]).encode()), wide)


# ── Rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

SHEET = Sheet("csv", ";", ("a", "b"))


@pytest.mark.parametrize(
    ("record", "sheet", "reason", "detail"),
    [
        (Record(2, wrong=("line_too_long", "why")), SHEET, "line_too_long", "why"),
        (Record(2, b"[1]"), Sheet("ndjson"), "not_an_object", "the line is not a JSON object"),
        (Record(2, b"{"), Sheet("ndjson"), "not_json", "the body is not JSON"),
        (Record(2, b"\xe9;b"), SHEET, "not_utf8", "the line is not UTF-8; save the file as CSV UTF-8"),
        (Record(2, b'"a"x;b'), SHEET, "wrong_cells", "the line its quotes cannot be read ("),
        (Record(2, b"a;b;c"), SHEET, "wrong_cells", "the line has 3 cells, the header has 2 columns"),
        (Record(2, b"a"), SHEET, "wrong_cells", "the line has 1 cells, the header has 2 columns"),
    ],
)
def test_a_record_that_is_no_row_says_why(record: Record, sheet: Sheet, reason: str, detail: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_row(record, sheet)
    assert caught.value.reason == reason
    assert caught.value.detail.startswith(detail)
    assert isinstance(caught.value, WrongRow) is (reason in {"not_an_object", "not_utf8", "wrong_cells"})


def test_a_row_has_its_cells_without_spaces_and_without_the_empty_ones() -> None:
    assert read_row(Record(2, b" 1 ;  "), SHEET) == {"a": "1"}
    assert read_row(Record(2, b'"x\ny";"2;3"'), SHEET) == {"a": "x\ny", "b": "2;3"}
    assert read_row(Record(2, b'{"a": null}'), Sheet("ndjson")) == {"a": None}


def test_what_holds_two_records_is_not_one() -> None:
    assert split_row('"a\nb"', ",") == ["a\nb"]
    assert split_row("a\u2028b,c\x0bd", ",") == ["a\u2028b", "c\x0bd"]
    with pytest.raises(ValueError, match=r"^its quotes cannot be read$"):
        split_row("a\nb", ",")


def test_a_cell_that_cannot_be_converted_blames_its_column() -> None:
    assert read_cell("n", "12", int) == 12
    for code in ("invalid", "unknown_currency"):
        with pytest.raises(Invalid) as caught:
            read_cell("n", "x", int) if code == "invalid" else read_cell("n", "x", int, code)
        [error] = caught.value.fields
        assert (error.field, error.code) == ("n", code)
        assert error.reason.startswith("invalid literal")


def test_yes_and_no_are_understood_in_english_and_french() -> None:
    assert " ".join(sorted(YES)) == "1 oui true vrai y yes"
    assert " ".join(sorted(NO)) == "0 false faux n no non"


# ── Writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_row_is_written_as_spreadsheets_read_it() -> None:
    row = csv_row([1, None, True, False, Decimal("1E-7"), Decimal("12.50"), "a,b", 'say "x"', "é\ud800"])
    assert row == '1,,true,false,0.0000001,12.50,"a,b","say ""x""",é?\r\n'.encode()


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_no_text_is_run_as_a_formula(first: str) -> None:
    [cell] = next(csv.reader(io.StringIO(csv_row([f"{first}1"]).decode(), newline="")))
    assert cell == f"'{first}1"
    assert csv_row([f"1{first}", -1]).startswith((b"1", b'"1'))
    assert csv_row([-1]) == b"-1\r\n"
