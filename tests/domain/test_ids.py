"""Ids as they are shown and read back, and the time they carry: what was made in a span of time is a range of ids."""

import re
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.ids import EPOCH, PREFIXES, floor_at, floor_ms, minted_at, minted_ms, read, show

MOMENTS = st.integers(0, 10**17).map(lambda micros: EPOCH + timedelta(microseconds=micros))
MILLISECOND = timedelta(milliseconds=1)
CLICK = UUID("01939d2e-7c00-7abc-8def-0123456789ab")
SHOWN = "clk_01jeejwz00fay8vvr14d2pf2db"
UUIDS = st.integers(0, 2**128 - 1).map(lambda number: UUID(int=number))


def test_an_id_is_shown_as_it_was_in_every_release() -> None:
    assert show("click", CLICK) == SHOWN
    assert show("click", UUID(int=0)) == "clk_" + "0" * 26
    assert show("click", UUID(int=2**128 - 1)) == "clk_7" + "z" * 25
    assert " ".join(f"{kind}:{prefix}" for kind, prefix in PREFIXES.items()) == (
        "brand:brd key:key influencer:inf campaign:cam collaboration:col link:lnk code:cod assignment:asg cost:cst source:src"
        " delivery:dlv click:clk conversion:cnv adjustment:adj job:job request:req"
    )


@given(st.sampled_from(sorted(PREFIXES)), UUIDS, UUIDS)
def test_a_shown_id_is_read_back_and_sorts_like_the_id(kind: str, one: UUID, other: UUID) -> None:
    assert read(kind, show(kind, one)) == one
    assert (show(kind, one) < show(kind, other)) == (one < other)


def test_an_id_is_read_as_people_copy_it() -> None:
    assert read("click", f" {SHOWN.upper()} ") == CLICK
    assert read("click", "CLK_" + "o" * 24 + "iL") == UUID(int=33)


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        ("", "expected clk_ and 26 characters"),
        (SHOWN[4:], "expected clk_ and 26 characters"),
        (SHOWN.replace("_", ""), "expected clk_ and 26 characters"),
        (SHOWN.replace("clk", "cnv"), "expected clk_ and 26 characters"),
        (SHOWN[:-1], "expected clk_ and 26 characters"),
        (SHOWN + "0", "expected clk_ and 26 characters"),
        (SHOWN[4:] + "clk_", "expected clk_ and 26 characters"),
        ("0" * 26, "expected clk_ and 26 characters"),
        (SHOWN[:-1] + "u", "'u' is not used in ids"),
        (SHOWN[:-1] + "é", "'é' is not used in ids"),
        ("clk_8" + "0" * 25, "out of range"),
    ],
)
def test_what_is_no_id_of_this_kind_is_refused_with_its_reason(shown: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        read("click", shown)


def test_a_uuid_of_version_7_tells_when_it_was_made_and_others_do_not() -> None:
    assert minted_ms(CLICK) == 0x01939D2E7C00
    assert minted_at(CLICK) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=0x01939D2E7C00)
    with pytest.raises(ValueError, match="not a UUIDv7"):
        minted_ms(UUID("01939d2e-7c00-4abc-8def-0123456789ab"))


def test_the_floor_is_below_every_id_of_its_millisecond_and_above_those_before() -> None:
    assert floor_ms(0x01939D2E7C00) == UUID("01939d2e-7c00-7000-8000-000000000000")


@given(MOMENTS)
def test_the_floor_of_a_moment_is_the_first_millisecond_that_is_not_before_it(moment: datetime) -> None:
    made = minted_at(floor_at(moment))
    assert made - MILLISECOND < moment <= made
    assert floor_at(made) == floor_at(moment) == floor_ms(minted_ms(floor_at(moment)))


@pytest.mark.parametrize("moment", [datetime.min.replace(tzinfo=UTC), EPOCH - MILLISECOND / 2, EPOCH])
def test_nothing_was_made_before_1970(moment: datetime) -> None:
    assert floor_at(moment) == floor_ms(0)


def test_a_moment_is_the_same_in_every_zone() -> None:
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert floor_at(noon) == floor_at(noon.astimezone(timezone(timedelta(hours=-8))))
