"""The status of an order: the last word of people until something is final, whatever came first."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.statuses import FINAL, NEXT, REASONS, REJECTED, STATUSES, Standing, StatusChange, stand

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def change(status: str, minute: int, reason: str | None = None) -> StatusChange:
    return StatusChange(status, NOON + minute * MINUTE, "pending", reason)


def test_nothing_decided_leaves_the_reports_to_speak() -> None:
    assert stand([]) == Standing()
    assert stand([change("rejected", 1, "fraud"), change("pending", 2)]) == Standing()


def test_the_last_word_holds_and_a_rejection_says_why() -> None:
    assert stand([change("rejected", 2, "returned"), change("approved", 1)]) == Standing("rejected", "returned")
    assert stand([change("rejected", 1, "fraud"), change("rejected", 2, "duplicate")]).reason == "duplicate"
    assert stand([change("rejected", 1, "fraud"), change("approved", 2)]) == Standing(
        "approved", approved_at=NOON + 2 * MINUTE
    )


def test_what_is_final_stays_also_when_two_orders_turn_out_to_be_one() -> None:
    locked, rejected = change("locked", 1), change("rejected", 9, "fraud")
    assert stand([locked, rejected]) == Standing("locked", locked_at=NOON + MINUTE)
    assert stand([change("paid", 5), rejected, locked]) == Standing("paid", locked_at=NOON + MINUTE)


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_leads_to_known_ones_and_nothing_leads_back_from_what_is_final(status: str) -> None:
    assert set(NEXT[status]) <= set(STATUSES)
    if status in FINAL:
        assert not set(NEXT[status]) - set(FINAL)


changes = st.builds(
    change, st.sampled_from(["pending", "approved", "rejected", "locked", "paid"]), st.integers(0, 5), st.sampled_from(REASONS)
)  # fmt: skip


@given(st.data(), st.lists(changes, max_size=6))
def test_any_permutation_and_repetition_comes_to_the_same(data: st.DataObject, decided: list[StatusChange]) -> None:
    once = stand(decided)
    assert stand(data.draw(st.permutations(decided + decided))) == once
    assert (once.locked_at is not None) is (once.status in FINAL)
    assert (once.reason is not None) is (once.status == REJECTED)
