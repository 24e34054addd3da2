"""Ids: their time is the clock's, also when the clock is set."""

import pytest

from app import clock, random_ids
from app.domain import ids

HOUR_MS = 3_600_000


def test_ids_sort_as_they_were_made() -> None:
    made = [random_ids.new_id() for _ in range(1_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ids_go_back_with_a_clock_that_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or what is received after a wrong clock was set right would be dated as if it still were wrong."""
    random_ids.new_id()
    before_ms = clock.now_ms() - HOUR_MS
    monkeypatch.setattr("app.clock.now_ms", lambda: before_ms)
    made = [random_ids.new_id() for _ in range(1_000)]
    assert {ids.minted_ms(each) for each in made} == {before_ms}
    assert len(set(made)) == len(made)


def test_ids_stay_in_order_when_the_clock_is_set_back_by_a_little(monkeypatch: pytest.MonkeyPatch) -> None:
    first = random_ids.new_id()
    before_ms = clock.now_ms() - random_ids.AHEAD_MAX_MS // 2
    monkeypatch.setattr("app.clock.now_ms", lambda: before_ms)
    assert random_ids.new_id() > first
