"""Ids carry their time: whoever asks for what was made in a span of time asks for a range of ids."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.ids import EPOCH, floor_at, floor_ms, minted_at, minted_ms

MOMENTS = st.integers(0, 10**17).map(lambda micros: EPOCH + timedelta(microseconds=micros))
MILLISECOND = timedelta(milliseconds=1)


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
