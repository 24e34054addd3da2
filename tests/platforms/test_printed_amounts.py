"""Amounts as templates print them, at every door that reads a text: what is read, what is refused with its reason, what is flagged as rounded."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from app.domain.csv_files import Record, Refusal, Sheet
from app.domain.folding import fold
from app.domain.order_file import read_line
from app.domain.orders import Context, OrderReport, Parsed, Witness
from app.platforms import pixel
from app.platforms.generic import webhook as generic
from app.platforms.postback import webhook as postback

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
MAPPING = {"amounts": "major", "rules": [{"read": "order", "order_id": "/id", "net": "/net"}]}


def context(**settings: Any) -> Context:
    return Context(NOW, "EUR", lambda _, email: email, settings=settings)


def by_pixel(amount: object) -> Parsed:
    return pixel.parse(
        urlencode({"event": "sale", "order_id": "1", "amount": amount, "tax": 0, "shipping": 0}).encode(), "", context()
    )


def by_beacon(amount: object) -> Parsed:
    body = {"event": "sale", "order_id": "1", "amount": amount, "tax": 0, "shipping": 0}
    return pixel.parse(json.dumps(body).encode(), "application/json", context())


def by_postback(amount: object) -> Parsed:
    return postback.parse(b"", {":query": urlencode({"order_id": "1", "amount": amount})}, context())


def by_mapping(amount: object) -> Parsed:
    return generic.parse(json.dumps({"id": 1, "net": amount}).encode(), {}, context(mapping=MAPPING))


DOORS = [by_pixel, by_beacon, by_postback, by_mapping]
Door = Callable[[object], Parsed]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("text", ["1,234.50", "1.234,50", "1 234,50", "1\u00a0234,50 €", "1234.50 EUR", "€1,234.50"])
def test_a_printed_amount_is_read(door: Door, text: str) -> None:
    parsed = door(text)
    assert parsed.rejected is None, parsed
    [report] = parsed.reports
    assert (report.net_minor, report.rounded, parsed.notes) == (123_450, False, ())


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("text", "why"),
    [("1,234", "could be a thousand or a fraction"), ("49.90 USD", "in another currency"), ("5k", "is not an amount")],
)
def test_what_can_be_read_in_two_ways_or_in_none_is_rejected_with_its_reason(door: Door, text: str, why: str) -> None:
    parsed = door(text)
    assert (parsed.rejected, parsed.reports) == ("wrong_value" if door is by_mapping else "invalid_amount", ())
    assert why in (parsed.detail or "")


@pytest.mark.parametrize("door", DOORS)
def test_too_many_decimals_are_noted_on_the_message_and_flagged_on_the_order(door: Door) -> None:
    parsed = door("1,049.905")
    [report] = parsed.reports
    assert report.net_minor == 104_991
    assert [note.startswith("amount_rounded") for note in parsed.notes] == [True]
    assert "amount_rounded" in flags_of(report)
    assert "amount_rounded" not in flags_of(door("49.90").reports[0])


@pytest.mark.parametrize("door", [by_beacon, by_mapping])
def test_a_json_number_with_too_many_decimals_is_flagged_and_a_binary_fraction_is_not(door: Door) -> None:
    [exact], [rounded] = door(0.1 + 0.2).reports, door(0.125).reports
    assert (exact.net_minor, exact.rounded, rounded.net_minor, rounded.rounded) == (30, False, 13, True)


@pytest.mark.parametrize(
    ("text", "minor", "why"),
    [
        ('"1,234.50"', 123_450, ""),
        ('"1.234,50 €"', 123_450, ""),
        ("1.234", None, "could be a thousand or a fraction"),
        ("49.9051", None, "has more decimals than EUR"),
        ("49.900000000000006", 4_990, ""),
    ],
)
def test_a_line_of_an_import_is_read_or_refused_with_its_reason(text: str, minor: int | None, why: str) -> None:
    read = read_line(Record(2, f"1,{text}".encode()), Sheet("csv", ",", ("order_id", "net")), context())
    if minor is None:
        assert isinstance(read, Refusal)
        assert (read.reason, why in read.detail) == ("invalid_amount", True)
    else:
        assert isinstance(read, OrderReport)
        assert read.net_minor == minor


def flags_of(report: OrderReport) -> tuple[str, ...]:
    return fold([Witness(report, 30, b"", NOW)], []).flags
