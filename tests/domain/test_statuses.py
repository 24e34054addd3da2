"""The status of an order: the last word of people until something is final, whatever came first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.statuses import (
    COUNTED,
    FINAL,
    NEXT,
    REASONS,
    REJECTED,
    STATUSES,
    Standing,
    StatusChange,
    in_time,
    stand,
)

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


def test_at_one_moment_the_stronger_status_is_the_later_and_the_order_is_the_same_everywhere() -> None:
    assert stand([change("rejected", 1, "fraud"), change("approved", 1)]).status == "rejected"
    assert stand([change("rejected", 1, "fraud"), change("rejected", 1, "other")]).reason == "other"
    one, other = change("approved", 1), StatusChange("approved", NOON + MINUTE, "rejected")
    assert in_time([one, other, one]) == in_time([other, one]) == (one, other)


def test_a_change_says_nothing_that_was_not_said() -> None:
    bare = StatusChange("approved", NOON, "pending")
    assert (bare.reason, bare.note, bare.key_id) == (None, None, None)
    nothing = Standing()
    assert (nothing.status, nothing.reason, nothing.approved_at, nothing.locked_at) == (None, None, None, None)


def test_the_statuses_and_reasons_that_a_client_may_read_are_these() -> None:
    assert STATUSES == ("stub", "unverified", "pending", "approved", "rejected", "locked", "paid")
    assert COUNTED == ("pending", "approved", "locked", "paid")
    listed = "cancelled returned failed_payment breach_of_terms duplicate out_of_stock self_referral fraud other"
    assert " ".join(REASONS) == listed


def test_people_may_go_these_ways_and_no_others() -> None:
    ways = {f"{status} > {after}" for status in STATUSES for after in NEXT[status]}
    assert ways == {
        "unverified > approved", "unverified > rejected", "pending > approved", "pending > rejected", "approved > locked",
        "approved > rejected", "rejected > pending", "rejected > rejected", "locked > paid",
        "locked > approved",
    }  # fmt: skip


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_leads_to_known_ones_and_nothing_leads_back_from_what_was_paid_out(status: str) -> None:
    assert set(NEXT[status]) <= set(STATUSES)
    if status in FINAL:
        assert set(NEXT[status]) <= ({"approved", "paid"} if status == "locked" else set())


def test_the_lifting_of_a_lock_ends_no_other_order_s_lock() -> None:
    locked, lifted = change("locked", 1), replace(change("approved", 2), was="locked", note="a mistake")
    others = [replace(each, conversion_id=UUID(int=1)) for each in (locked, lifted)]
    assert stand([locked, *others]) == Standing("locked", locked_at=locked.changed_at)
    assert stand([locked, lifted, *others]).status == "approved"


def test_a_lock_that_was_lifted_is_none_and_its_hold_begins_anew() -> None:
    locked, lifted = change("locked", 1), replace(change("approved", 2), was="locked", note="a mistake")
    assert stand([lifted, locked]) == Standing("approved", approved_at=lifted.changed_at, lifted_at=lifted.changed_at)
    relocked = change("locked", 3)
    assert stand([relocked, lifted, locked]).locked_at == relocked.changed_at
    assert stand([change("paid", 0), lifted, locked]).status == "paid"
    rejected = stand([change("rejected", 4, "fraud"), change("pending", 5), lifted, locked])
    assert rejected == Standing(lifted_at=lifted.changed_at)


def test_a_lock_keeps_what_was_decided_by_the_first_final_status() -> None:
    locked = replace(change("locked", 1), decided="{}")
    assert stand([locked, replace(change("paid", 2), decided="[]")]).decided == "{}"


changes = st.builds(
    change, st.sampled_from(["pending", "approved", "rejected", "locked", "paid"]), st.integers(0, 5), st.sampled_from(REASONS)
)  # fmt: skip


@given(st.data(), st.lists(changes, max_size=6))
def test_any_permutation_and_repetition_comes_to_the_same(data: st.DataObject, decided: list[StatusChange]) -> None:
    once = stand(decided)
    assert stand(data.draw(st.permutations(decided + decided))) == once
    assert (once.locked_at is not None) is (once.status in FINAL)
    assert (once.reason is not None) is (once.status == REJECTED)
