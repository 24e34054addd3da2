"""The quick way to a click id is the plain one."""

from uuid import RFC_4122, UUID

import pytest

from app.domain import ids
from app.tracking.click_ids import BATCH, ClickIds


def test_a_fresh_id_is_one_uuid7_in_three_forms() -> None:
    click_ids = ClickIds()
    seen = set()
    for _ in range(20 * BATCH):
        text, at_ms, shown = click_ids.fresh()
        made = UUID(text)
        assert str(made) == text
        assert (made.version, made.variant) == (7, RFC_4122)
        assert ids.minted_ms(made) == at_ms
        assert ids.show("click", made).encode() == shown
        assert ids.read("click", shown.decode()) == made
        seen.add(text)
    assert len(seen) == 20 * BATCH


def test_every_bit_that_may_be_random_is() -> None:
    click_ids = ClickIds()
    numbers = [UUID(click_ids.fresh()[0]).int & (1 << 80) - 1 for _ in range(4_000)]
    fixed = {79: 0, 78: 1, 77: 1, 76: 1, 63: 1, 62: 0}
    for bit in range(80):
        ones = sum(number >> bit & 1 for number in numbers)
        if bit in fixed:
            assert ones == fixed[bit] * len(numbers)
        else:
            # Six standard deviations around the half.
            assert abs(ones - 2_000) < 190, f"bit {bit}"


@pytest.mark.parametrize("ms", [0, 1, 1_763_777_777_777, 0xFFFF, 0x10000, (1 << 48) - 1])
def test_the_time_in_it_is_right_at_any_time(ms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.clock.now_ms", lambda: ms)
    text, at_ms, shown = ClickIds().fresh()
    assert at_ms == ms == ids.minted_ms(UUID(text))
    assert ids.show("click", UUID(text)).encode() == shown
