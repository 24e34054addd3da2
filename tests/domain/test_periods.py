"""Days, weeks and months of a place: clocks that change, leap days, and no instant lost or counted twice."""

import re
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.periods import (
    BUCKETS_MAX,
    DEFAULT_DAYS,
    TIME_UNITS,
    Period,
    TimeUnit,
    buckets,
    cover,
    first_day_from,
    local_date,
    read_moment,
    read_period,
    read_zone,
    start_of_day,
)

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2026, 11, 22, 15, 30, tzinfo=UTC)
# Half-hour and quarter-hour offsets, changes at midnight (Havana, Beirut, Cairo), before it (Nuuk), both ends of the date line.
ZONES = [
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "America/Havana",
    "Asia/Beirut",
    "Africa/Cairo",
    "America/Nuuk",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "Africa/Casablanca",
    "Antarctica/Troll",
]
zones = st.sampled_from(ZONES).map(ZoneInfo)
moments = st.integers(0, 22 * 366 * 86_400).map(
    lambda second: datetime(2015, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
)
lengths = st.timedeltas(timedelta(microseconds=1), timedelta(days=70))


def period_of(start: datetime, length: timedelta, zone: ZoneInfo) -> Period:
    return Period(start, start + length, zone)


def test_the_day_the_clocks_go_forward_has_23_hours_and_the_day_they_go_back_25() -> None:
    spring = buckets(
        Period(start_of_day(date(2026, 3, 28), PARIS), start_of_day(date(2026, 3, 31), PARIS), PARIS), "day"
    )
    autumn = buckets(
        Period(start_of_day(date(2026, 10, 24), PARIS), start_of_day(date(2026, 10, 27), PARIS), PARIS), "day"
    )
    assert [(each.end - each.start) / timedelta(hours=1) for each in spring] == [24, 23, 24]
    assert [(each.end - each.start) / timedelta(hours=1) for each in autumn] == [24, 25, 24]
    assert [each.label for each in autumn] == ["2026-10-24", "2026-10-25", "2026-10-26"]


def test_a_day_without_midnight_begins_when_the_clocks_change() -> None:
    # Cairo, 24 April 2026: 00:00 becomes 01:00.
    begins = start_of_day(date(2026, 4, 24), ZoneInfo("Africa/Cairo"))
    assert begins == datetime(2026, 4, 23, 22, tzinfo=UTC)
    assert begins.astimezone(ZoneInfo("Africa/Cairo")).hour == 1


def test_a_day_that_a_place_skipped_has_no_bucket() -> None:
    apia = ZoneInfo("Pacific/Apia")
    period = Period(start_of_day(date(2011, 12, 29), apia), start_of_day(date(2012, 1, 1), apia), apia)
    assert [each.label for each in buckets(period, "day")] == ["2011-12-29", "2011-12-31"]


def test_a_leap_day_is_a_day_and_february_a_month_of_29() -> None:
    period = Period(start_of_day(date(2028, 2, 1), PARIS), start_of_day(date(2028, 3, 1), PARIS), PARIS)
    assert len(buckets(period, "day")) == 29
    assert [each.label for each in buckets(period, "month")] == ["2028-02"]


def test_weeks_begin_on_monday_and_are_named_by_it_even_when_cut_off() -> None:
    found = buckets(
        Period(start_of_day(date(2026, 11, 18), PARIS), start_of_day(date(2026, 11, 24), PARIS), PARIS), "week"
    )
    assert [each.label for each in found] == ["2026-11-16", "2026-11-23"]
    assert found[0].start == start_of_day(date(2026, 11, 18), PARIS)


@given(moments, lengths, zones, st.sampled_from(TIME_UNITS))
def test_buckets_partition_the_period(start: datetime, length: timedelta, zone: ZoneInfo, unit: TimeUnit) -> None:
    period = period_of(start, length, zone)
    found = buckets(period, unit)
    assert found[0].start == period.start
    assert found[-1].end == period.end
    assert all(each.start < each.end for each in found)
    assert all(before.end == after.start for before, after in pairwise(found))
    assert len({each.label for each in found}) == len(found)


@given(moments, zones)
def test_the_bucket_of_an_instant_bears_the_date_its_calendar_shows(moment: datetime, zone: ZoneInfo) -> None:
    found = buckets(Period(moment, moment + timedelta(microseconds=1), zone), "day")
    assert [each.label for each in found] == [local_date(moment, zone).isoformat()]


@given(moments, lengths, zones, zones, st.sampled_from(TIME_UNITS))
def test_whole_days_and_stretches_of_another_zone_cover_each_bucket_exactly_once(
    start: datetime, length: timedelta, zone: ZoneInfo, brand_zone: ZoneInfo, unit: TimeUnit
) -> None:
    found = buckets(period_of(start, length, zone), unit)
    days, stretches = cover([(each.start, each.end) for each in found], brand_zone)
    for number, each in enumerate(found):
        pieces = [(piece.start, piece.end) for piece in stretches if piece.bucket == number]
        pieces += [
            (start_of_day(piece.first, brand_zone), start_of_day(piece.after, brand_zone))
            for piece in days
            if piece.bucket == number
        ]
        pieces.sort()
        assert pieces[0][0] == each.start
        assert pieces[-1][1] == each.end
        assert all(before[1] == after[0] for before, after in pairwise(pieces))


@given(moments, lengths, zones)
def test_days_of_the_brands_own_zone_need_no_stretch(start: datetime, length: timedelta, zone: ZoneInfo) -> None:
    first = first_day_from(start, zone)
    after = first_day_from(start + length, zone) + timedelta(days=1)
    found = buckets(Period(start_of_day(first, zone), start_of_day(after, zone), zone), "day")
    days, stretches = cover([(each.start, each.end) for each in found], zone)
    assert stretches == ()
    assert [each.first.isoformat() for each in days] == [each.label for each in found]


@settings(max_examples=50)
@given(moments, zones)
def test_the_first_day_from_an_instant_is_the_earliest_that_begins_no_earlier(moment: datetime, zone: ZoneInfo) -> None:
    day = first_day_from(moment, zone)
    assert start_of_day(day, zone) >= moment
    assert start_of_day(day - timedelta(days=1), zone) < moment


def test_without_a_range_the_last_thirty_days_are_meant_today_included() -> None:
    period, faults = read_period(None, None, PARIS, NOW)
    assert period is not None
    assert faults == {}
    assert period.end == start_of_day(date(2026, 11, 23), PARIS)
    assert len(buckets(period, "day")) == DEFAULT_DAYS
    assert buckets(period, "day")[-1].label == "2026-11-22"


def test_a_missing_end_is_today_and_a_missing_start_thirty_days_earlier() -> None:
    only_start, _ = read_period("2026-11-01", None, PARIS, NOW)
    only_end, _ = read_period(None, "2026-11-01", PARIS, NOW)
    assert only_start is not None
    assert only_end is not None
    assert only_start.end == start_of_day(date(2026, 11, 23), PARIS)
    # Across the change of clocks of 25 October: still midnight.
    assert only_end.start == start_of_day(date(2026, 10, 2), PARIS)


def test_every_instant_that_is_read_or_worked_out_is_in_utc() -> None:
    period, _ = read_period(None, "2026-07-01T00:00:00+02:00", PARIS, NOW)
    assert period is not None
    assert {each.tzinfo for each in (period.start, period.end, start_of_day(date(2026, 7, 1), PARIS))} == {UTC}
    before, _ = read_period(None, "2026-07-01T12:00:00+02:00", PARIS, NOW)
    assert before is not None
    assert before.start.tzinfo is UTC


def test_today_is_the_day_of_the_zone_and_not_of_the_server() -> None:
    late = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)
    for zone, after in (("Europe/Paris", date(2026, 11, 24)), ("America/New_York", date(2026, 11, 23))):
        period, _ = read_period(None, None, ZoneInfo(zone), late)
        assert period is not None
        assert period.end == start_of_day(after, ZoneInfo(zone))


def test_dates_are_midnights_of_the_zone_and_times_are_what_they_say() -> None:
    assert read_moment("2026-07-01", PARIS) == datetime(2026, 6, 30, 22, tzinfo=UTC)
    assert read_moment("2026-07-01T00:00:00Z", PARIS) == datetime(2026, 7, 1, tzinfo=UTC)
    assert read_moment("2026-07-01t00:00:00.1234567+05:45", PARIS) == datetime(
        2026, 6, 30, 18, 15, 0, 123456, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("2026-07-01T00:00:00", "no offset"),
        ("2026-02-30", "no such date"),
        ("2026-02-30T10:00:00Z", "no such date"),
        ("2026-07-01T24:30:00Z", "no such time"),
        ("2026-07-01T10:00:60Z", "no such time"),
        ("2026-07-01T10:00:00+99:00", "no such time"),
        ("2026-07-01T10:00:00 02:00", "%2B"),
        ("20260701", "expected a date"),
        ("2026-W10-1", "expected a date"),
        ("٢٠٢٦-٠٧-٠١", "expected a date"),
        ("٢٠٢٦-٠٧-٠١T10:00:00Z", "expected a date"),
        ("2026-07-01T١٠:00:00Z", "expected a date"),
        ("yesterday", "expected a date"),
        ("", "expected a date"),
        ("2026-07-01T10:00:00 02:00", "2026-11-22T10:00:00Z); a + in an address must be sent as %2B"),
        ("2026-07-01T10:00:00 0200", "2026-11-22T10:00:00Z)"),
        ("1999-12-31", "expected a year from 2000 to 2199"),
        ("2200-01-01", "expected a year from 2000 to 2199"),
        ("0001-01-01", "expected a year"),
        ("9999-12-31T23:59:59-14:00", "expected a year"),
    ],
)
def test_other_times_are_refused_with_advice(text: str, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice) + ("$" if advice.endswith(("Z)", "%2B")) else "")):
        read_moment(text, PARIS)


@pytest.mark.parametrize(
    "name", ["Paris", "", "/etc/passwd", "../UTC", "Europe", "Europe/Paris\0", "UTC+1", "x" * 5_000]
)
def test_only_iana_names_are_zones(name: str) -> None:
    with pytest.raises(ValueError, match="IANA"):
        read_zone(name)


def test_both_ends_at_fault_are_both_named() -> None:
    period, faults = read_period("soon", "later", PARIS, NOW)
    assert period is None
    expected = "expected a date (2026-11-22) or an RFC 3339 time (2026-11-22T10:00:00Z)"
    assert faults == {"from": expected, "to": expected}


def test_the_years_and_units_that_are_answered() -> None:
    assert TIME_UNITS == ("day", "week", "month")
    assert read_moment("2000-01-01", PARIS) == datetime(1999, 12, 31, 23, tzinfo=UTC)
    assert read_moment("2199-12-31", ZoneInfo("UTC")) == datetime(2199, 12, 31, tzinfo=UTC)


def test_a_range_may_have_3700_days_and_is_told_to_shrink_beyond() -> None:
    period, faults = read_period("2010-01-01", "2020-02-18", ZoneInfo("UTC"), NOW)
    assert faults == {}
    assert period is not None
    assert period.end - period.start == timedelta(days=3_700)
    _, faults = read_period("2010-01-01", "2020-02-18T00:00:00.000001Z", ZoneInfo("UTC"), NOW)
    assert faults == {"from": "the range is longer than 3700 days; ask for it in parts"}


def test_a_range_that_ends_before_it_begins_says_where_an_end_that_was_not_given_lies() -> None:
    _, named = read_period("2026-11-02", "2026-11-01", PARIS, NOW)
    assert named == {"from": "must lie before to; a range holds its first instant and not its last"}
    _, unnamed = read_period("2027-01-01", None, PARIS, NOW)
    assert unnamed["from"].startswith("must lie before to, which is the end of today when it is not given; a range")


@pytest.mark.parametrize(
    ("start", "end"), [("2026-11-02", "2026-11-01"), ("2026-11-02", "2026-11-02"), ("2010-01-01", "2026-01-01")]
)
def test_an_empty_a_reversed_and_an_endless_range_are_refused(start: str, end: str) -> None:
    period, faults = read_period(start, end, PARIS, NOW)
    assert period is None
    assert set(faults) == {"from"}


def test_too_many_buckets_are_refused_by_name() -> None:
    period = Period(datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), PARIS)
    with pytest.raises(ValueError, match="more than 1100 days"):
        buckets(period, "day")
    utc = ZoneInfo("UTC")
    start = datetime(2020, 1, 1, tzinfo=UTC)
    assert len(buckets(Period(start, start + timedelta(days=BUCKETS_MAX), utc), "day")) == 1_100
    with pytest.raises(ValueError, match="more than 1100 days"):
        buckets(Period(start, start + timedelta(days=BUCKETS_MAX, microseconds=1), utc), "day")
    assert len(buckets(period, "month")) == 73
