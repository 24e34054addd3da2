"""Files of lines: uploaded CSV or NDJSON, cut into records in bounded memory, and CSV written for a spreadsheet. Pure.

Tolerated, because spreadsheets write it: a byte order mark, CRLF, `;` or tabs between columns, quotes with line breaks in them (RFC 4180),
column names in any case, blank lines. Refused rather than guessed: another encoding than UTF-8, two separators in one header.
"""

import csv
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeVar

from app.domain.likeness import hint
from app.domain.money import Decimals, to_decimal
from app.domain.strict_json import Unreadable, read_json
from app.errors import FieldError, Invalid

LINE_BYTES_MAX = 64 << 10
"""Largest record, in bytes; an order with a thousand lines fits. Also how far an unclosed quote may reach before it is taken for a mistake."""
ROWS_MAX = 100_000
"""Records in one file."""
LINES_MAX = 1_000_000
"""Lines in one file, blank ones and those inside quotes included: each takes its time, and millions of them may hold no record."""
COLUMNS_MAX = 100
"""Column names read in a header."""
SHOWN_CHARACTERS_MAX = 200
"""Characters of a wrong header that its error shows."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Without it Excel reads UTF-8 as its own code page."""
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
SEPARATORS = ",;\t"

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""First characters of a text that a spreadsheet would run. The wide ones, because some turn them into the usual ones first."""

YES = frozenset({"true", "1", "yes", "y", "oui", "vrai"})
NO = frozenset({"false", "0", "no", "n", "non", "faux"})

Format = Literal["csv", "ndjson"]
Cell = TypeVar("Cell")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file. number: its first line, as an editor counts. wrong: why it cannot be read at all, as (reason, sentence)."""

    number: int
    content: bytes = b""
    wrong: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """How a file is written. columns: of a CSV, as `read_header` found them."""

    format: Format
    separator: str = ","
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a kind of CSV. names: all that are allowed. required: groups, one column of each must be there. example: a header."""

    names: tuple[str, ...]
    required: tuple[tuple[str, ...], ...]
    example: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a line cannot be used. reason: a stable word. detail: a sentence. field: the first at fault. order_id: where it can be read."""

    reason: str
    detail: str
    field: str | None = None
    order_id: str | None = None


NumberedLine = tuple[int, bytes | None]
"""A line's number and content; None: it is too long."""


class Cutter:
    """Cuts a file into records as its pieces arrive; never holds more than a piece and LINE_BYTES_MAX. Blank lines are left out."""

    def __init__(self, form: Format) -> None:
        self._quoted = form == "csv"
        self._number = 0
        self._rest = b""
        self._skipping = False
        self._open: list[NumberedLine] = []
        self._open_bytes = 0

    @property
    def lines(self) -> int:
        """Lines read so far, blank ones included."""
        return self._number

    def feed(self, piece: bytes) -> Iterator[Record]:
        """The records that end in this piece."""
        *whole, self._rest = (self._rest + piece).split(b"\n")
        lines: deque[NumberedLine] = deque()
        for line in whole:
            if self._skipping:
                self._skipping = False
                continue
            self._number += 1
            lines.append((self._number, line if len(line) <= LINE_BYTES_MAX else None))
        if len(self._rest) > LINE_BYTES_MAX:
            if not self._skipping:
                self._number += 1
                lines.append((self._number, None))
            self._skipping = True
        if self._skipping:
            self._rest = b""
        yield from self._join(lines)

    def close(self) -> Iterator[Record]:
        """The records that end with the file."""
        if self._rest:
            yield from self.feed(b"\n")
        while self._open:
            lines: deque[NumberedLine] = deque()
            yield self._give_up_quote(lines)
            yield from self._join(lines)

    def _join(self, lines: deque[NumberedLine]) -> Iterator[Record]:
        """Joins the lines between an opening quote and its closing one into one record."""
        while lines:
            number, line = lines.popleft()
            odd = self._quoted and line is not None and line.count(b'"') % 2 == 1
            if self._open:
                self._open.append((number, line))
                self._open_bytes += len(line or b"") + 1
                if line is None or self._open_bytes > LINE_BYTES_MAX:
                    yield self._give_up_quote(lines)
                elif odd:
                    yield Record(self._open[0][0], b"\n".join(each or b"" for _, each in self._open).rstrip(b"\r"))
                    self._open = []
            elif line is None:
                yield Record(number, wrong=("line_too_long", f"line {number} has more than {LINE_BYTES_MAX} bytes"))
            elif odd:
                self._open, self._open_bytes = [(number, line)], len(line) + 1
            elif line.strip():
                yield Record(number, line.rstrip(b"\r"))

    def _give_up_quote(self, lines: deque[NumberedLine]) -> Record:
        """Refuses the line with the quote, which was never meant to span lines; the lines after it are read again by themselves."""
        (number, _), *others = self._open
        self._open = []
        lines.extendleft(reversed(others))
        return Record(number, wrong=("unclosed_quote", f'a quote (") is opened in line {number} and not closed'))


# ── The first line ───────────────────────────────────────────────────────────────────────────────────────────────────


def read_header(first: Record, columns: Columns) -> Sheet:
    """Reads the first line of a CSV; names are compared without case and outer spaces.

    Raises Invalid `wrong_header`, showing the line and what is expected.
    """
    text = ""
    try:
        text = _header_text(first)
        names, separator = _split_header(text)
    except ValueError as error:
        raise _wrong_header(text or _shown(first), columns, str(error)) from None
    errors = [
        FieldError(name[:60], _unknown(name, columns), "unknown_column") for name in names if name not in columns.names
    ]
    errors += [
        FieldError(name, "stands twice", "duplicate_column")
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    errors += [
        FieldError(name, f"give either {name} or {name}_minor", "ambiguous")
        for name in names
        if f"{name}_minor" in names
    ]
    for either in columns.required:
        given = [name for name in either if name in names]
        if not given:
            errors.append(FieldError(either[0], " or ".join(("is missing", *either[1:])), "missing_column"))
        elif len(given) > 1 and f"{given[0]}_minor" != given[1]:
            errors.append(FieldError(given[0], f"give either {' or '.join(given)}", "ambiguous"))
    if errors:
        reasons = "; ".join(f"{each.field or '(empty)'} {each.reason}" for each in errors[:5])
        raise _wrong_header(text, columns, reasons, errors)
    return Sheet("csv", separator, tuple(names))


def _header_text(first: Record) -> str:
    if first.content.startswith(UTF_16):
        raise ValueError("is UTF-16; save the file as CSV UTF-8")
    if first.wrong is not None:
        raise ValueError(first.wrong[1])
    try:
        return first.content.removeprefix(BYTE_ORDER_MARK).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8; save the file as CSV UTF-8") from None


def _shown(first: Record) -> str:
    return "" if first.content.startswith(UTF_16) else first.content.decode("utf-8", "replace")


def _split_header(text: str) -> tuple[list[str], str]:
    separators = [each for each in SEPARATORS if each in text]
    if len(separators) > 1:
        raise ValueError("holds two kinds of separators")
    separator = separators[0] if separators else ","
    names = [name.strip().lower() for name in split_row(text, separator)]
    if len(names) > COLUMNS_MAX:
        raise ValueError(f"has {len(names)} columns, {COLUMNS_MAX} are read at most")
    return names, separator


def _unknown(name: str, columns: Columns) -> str:
    return f"is not a column{hint(name, columns.names)}"


def _wrong_header(text: str, columns: Columns, reason: str, fields: Sequence[FieldError] = ()) -> Invalid:
    shown = "".join(character if character.isprintable() else "␀" for character in text[:SHOWN_CHARACTERS_MAX])
    clean = tuple(FieldError("".join(filter(str.isprintable, each.field)), each.reason, each.code) for each in fields)
    detail = f"line 1 reads {shown!r}: {reason}. Expected is a line such as {columns.example!r}"
    return Invalid(detail, code="wrong_header", fields=clean)


# ── The other lines ──────────────────────────────────────────────────────────────────────────────────────────────────


class WrongRow(Unreadable):
    """A record that is no row of its file."""


def read_row(record: Record, sheet: Sheet) -> dict[str, Any]:
    """The cells of a CSV record by column, as stripped texts without the empty ones; the object of an NDJSON record. Raises Unreadable."""
    if record.wrong is not None:
        raise Unreadable(*record.wrong)
    if sheet.format == "ndjson":
        found = read_json(record.content)
        if not isinstance(found, dict):
            raise WrongRow("not_an_object", "the line is not a JSON object")
        return found
    try:
        row = split_row(record.content.decode("utf-8"), sheet.separator)
    except UnicodeDecodeError:
        raise WrongRow("not_utf8", "the line is not UTF-8; save the file as CSV UTF-8") from None
    except ValueError as error:
        raise WrongRow("wrong_cells", f"the line {error}") from None
    if len(row) != len(sheet.columns):
        detail = f"the line has {len(row)} cells, the header has {len(sheet.columns)} columns"
        raise WrongRow("wrong_cells", detail)
    return {name: cell.strip() for name, cell in zip(sheet.columns, row, strict=True) if cell.strip()}


def split_row(text: str, separator: str) -> list[str]:
    """The cells of one record of CSV. ValueError says what is wrong with its quotes."""
    lines = text.splitlines(keepends=True) if "\n" in text else [text]
    try:
        rows = list(csv.reader(lines, delimiter=separator, strict=True))
    except csv.Error as error:
        raise ValueError(f"its quotes cannot be read ({error})") from None
    if len(rows) != 1:
        raise ValueError("its quotes cannot be read")
    return rows[0]


def read_cell(name: str, value: Cell, convert: Callable[[Cell], Value], code: str = "invalid") -> Value:
    """The value as converted; a ValueError of `convert` becomes Invalid, about this column."""
    try:
        return convert(value)
    except ValueError as error:
        raise Invalid.field(name, str(error), code=code) from None


# ── Writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class CsvStyle:
    """How a file is written for a spreadsheet. separator: between cells. decimal: before the decimals of a number.

    major: amounts are written in major units, with the currencies that the brand has declared beside those that everybody knows; None: in minor units.
    """

    separator: str = ","
    decimal: str = "."
    major: Decimals | None = None

    def __post_init__(self) -> None:
        if self.decimal == self.separator:
            raise Invalid.field("decimal", "is the separator of the cells already; send separator=; with it")

    def column(self, name: str) -> str:
        """The header of a column: without `_minor` where its amounts are in major units."""
        return name.removesuffix(MINOR) if self.major is not None else name


PLAIN = CsvStyle()
MINOR = "_minor"
"""End of the name of every amount; the currency stands in the row's `currency`."""


def csv_header(columns: Iterable[str], style: CsvStyle = PLAIN) -> bytes:
    """The first row of a file, its byte order mark included."""
    return BYTE_ORDER_MARK + csv_row(map(style.column, columns), style)


def csv_line(row: Mapping[str, object], columns: Iterable[str], style: CsvStyle = PLAIN) -> bytes:
    """The cells of these columns, empty where the row has none. An amount in major units has exactly the decimals of the row's currency; without a
    currency it is empty.
    """
    if style.major is not None:
        amounts = {name: value for name, value in row.items() if name.endswith(MINOR) and isinstance(value, int)}
        currency = row.get("currency")
        shown = {
            name: to_decimal(value, currency, style.major) if isinstance(currency, str) else None
            for name, value in amounts.items()
        }
        row = {**row, **shown}
    return csv_row(map(row.get, columns), style)


def csv_row(values: Iterable[object], style: CsvStyle = PLAIN) -> bytes:
    """One row of RFC 4180, CRLF included. None is empty; a text that a spreadsheet would run as a formula begins with an apostrophe."""
    file = io.StringIO()
    csv.writer(file, delimiter=style.separator).writerow([_cell(value, style) for value in values])
    return file.getvalue().encode("utf-8", "replace")


def _cell(value: object, style: CsvStyle) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    if isinstance(value, Decimal):
        return f"{value:f}".replace(".", style.decimal)
    return "" if value is None else value
