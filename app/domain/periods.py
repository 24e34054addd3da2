"""Half-open ranges of time, and the days, weeks and months that a time zone cuts them into.

A day is a calendar day of a place: 23 or 25 hours long when the clocks are changed. It begins at its first instant, which is not 00:00
where the clocks are put forward at midnight.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

DEFAULT_DAYS = 30
RANGE_DAYS_MAX = 3_700
"""Longest range that is answered, in days: a little over ten years."""
BUCKETS_MAX = 1_100
"""Most days, weeks or months in one answer: three years of days."""
YEAR_MIN, YEAR_MAX = 2000, 2199

TimeUnit = Literal["day", "week", "month"]
TIME_UNITS: tuple[TimeUnit, ...] = ("day", "week", "month")

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """[start, end): two UTC instants, start < end. zone: the one whose days the period is cut into."""

    start: datetime
    end: datetime
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Bucket:
    """One day, week or month, cut off where its period begins or ends within it.

    label: "2026-11-22" for a day, the Monday's date for a week, "2026-11" for a month.
    """

    label: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Days:
    """Whole local days [first, after) of a bucket. bucket: its number."""

    first: date
    after: date
    bucket: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Instants [start, end) of a bucket that make no whole local day. bucket: its number."""

    start: datetime
    end: datetime
    bucket: int


def read_zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name such as Europe/Paris. ValueError for anything else, paths and folders included."""
    try:
        return ZoneInfo(name)
    except (ValueError, KeyError, OSError):
        raise ValueError("expected an IANA time zone such as Europe/Paris or UTC") from None


def read_moment(text: str, zone: ZoneInfo) -> datetime:
    """The UTC instant of an RFC 3339 time, or the first instant of a date in `zone`.

    ValueError for anything else: a time without offset would be another moment for each reader. Digits past the microsecond are cut.
    """
    if _DATE.fullmatch(text):
        return start_of_day(_sane(_read_date(text)), zone)
    match = _MOMENT.fullmatch(text)
    if match is None:
        hint = "; a + in an address must be sent as %2B" if re.search(r" \d\d:\d\d$", text) else ""
        raise ValueError(f"expected a date (2026-11-22) or an RFC 3339 time (2026-11-22T10:00:00Z){hint}")
    day, clock, fraction, offset = match.groups()
    if offset is None:
        raise ValueError("the time has no offset; end it with Z or +01:00")
    _sane(_read_date(day))
    microsecond = (fraction or ".0")[:7]
    try:
        found = datetime.fromisoformat(f"{day}T{clock}{microsecond.ljust(7, '0')}{offset.upper()}")
    except ValueError:
        raise ValueError("there is no such time") from None
    return found.astimezone(UTC)


def read_period(
    start: str | None, end: str | None, zone: ZoneInfo, now: datetime
) -> tuple[Period | None, dict[str, str]]:
    """The period from one text to another, and the error messages by field (`from`, `to`); the period is None when there are any.

    Without `to`, it ends with today (in `zone`); without `from`, it begins DEFAULT_DAYS local days before its end.
    """
    faults: dict[str, str] = {}
    found: dict[str, datetime] = {}
    for name, text in (("from", start), ("to", end)):
        if text is not None:
            try:
                found[name] = read_moment(text, zone)
            except ValueError as error:
                faults[name] = str(error)
    if faults:
        return None, faults
    until = found.get("to") or start_of_day(local_date(now, zone) + timedelta(days=1), zone)
    since = found.get("from") or _days_before(until, DEFAULT_DAYS, zone)
    if since >= until:
        ends = "" if end is not None else ", which is the end of today when it is not given"
        return None, {"from": f"must lie before to{ends}; a range holds its first instant and not its last"}
    if until - since > timedelta(days=RANGE_DAYS_MAX):
        return None, {"from": f"the range is longer than {RANGE_DAYS_MAX} days; ask for it in parts"}
    return Period(since, until, zone), {}


def local_date(moment: datetime, zone: ZoneInfo) -> date:
    """The date that calendars in `zone` show at this instant."""
    return moment.astimezone(zone).date()


def start_of_day(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a local date, in UTC.

    Where the clocks are put forward at midnight, 00:00 does not exist; read with the offset before the change (fold 0) it is the instant
    of the change, which is right. Where they are put back to 00:00 it happens twice; fold 0 is the first.
    """
    return datetime.combine(day, time(), zone).astimezone(UTC)


def first_day_from(moment: datetime, zone: ZoneInfo) -> date:
    """The first local date that begins at or after this instant."""
    day = local_date(moment, zone)
    return day if start_of_day(day, zone) >= moment else day + timedelta(days=1)


def buckets(period: Period, unit: TimeUnit) -> tuple[Bucket, ...]:
    """The days, weeks (from Monday) or months of a period, in order, without overlaps and gaps.

    ValueError when there are more than BUCKETS_MAX. A day that the zone skipped altogether has no bucket.
    """
    found: list[Bucket] = []
    for first, after in _steps(local_date(period.start, period.zone), unit):
        start = max(start_of_day(first, period.zone), period.start)
        end = min(start_of_day(after, period.zone), period.end)
        if start >= period.end:
            break
        if start < end:
            found.append(Bucket(_label(first, unit), start, end))
        if len(found) > BUCKETS_MAX:
            raise ValueError(
                f"the range holds more than {BUCKETS_MAX} {unit}s; ask for longer units or a shorter range"
            )
    return tuple(found)


def cover(parts: Sequence[tuple[datetime, datetime]], zone: ZoneInfo) -> tuple[tuple[Days, ...], tuple[Stretch, ...]]:
    """Each part (its position is its bucket) as whole days of `zone`, and the stretches before and after them.

    Sums per day of a brand's zone thus answer any range in any zone, except for at most two stretches a part, each under a day.
    """
    days: list[Days] = []
    stretches: list[Stretch] = []
    for bucket, (start, end) in enumerate(parts):
        first, after = first_day_from(start, zone), local_date(end, zone)
        if first < after:
            days.append(Days(first, after, bucket))
            edges = [(start, start_of_day(first, zone)), (start_of_day(after, zone), end)]
        else:
            edges = [(start, end)]
        stretches.extend(Stretch(since, until, bucket) for since, until in edges if since < until)
    return tuple(days), tuple(stretches)


def _read_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("there is no such date") from None


def _sane(day: date) -> date:
    if not YEAR_MIN <= day.year <= YEAR_MAX:
        raise ValueError(f"expected a year from {YEAR_MIN} to {YEAR_MAX}")
    return day


def _days_before(moment: datetime, days: int, zone: ZoneInfo) -> datetime:
    """The moment with this local time of day, a number of local days earlier."""
    local = moment.astimezone(zone)
    earlier = datetime.combine(local.date() - timedelta(days=days), local.time(), zone)
    return earlier.astimezone(UTC)


def _steps(day: date, unit: TimeUnit) -> Iterator[tuple[date, date]]:
    """The unit that contains `day`, then all that follow, endlessly: first day and day after the last."""
    if unit == "month":
        first = day.replace(day=1)
        while True:
            after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
            yield first, after
            first = after
    length = timedelta(days=7 if unit == "week" else 1)
    first = day - timedelta(days=day.weekday()) if unit == "week" else day
    while True:
        yield first, first + length
        first += length


def _label(first: date, unit: TimeUnit) -> str:
    return first.isoformat()[:7] if unit == "month" else first.isoformat()
