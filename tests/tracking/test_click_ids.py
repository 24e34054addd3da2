"""The quick way to a click id is the plain one."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.domain import ids
from app.tracking.click_ids import ClickIds


@given(st.lists(st.integers(min_value=0, max_value=2**128 - 1), min_size=1, max_size=5))
def test_an_id_is_shown_as_everywhere_else(numbers: list[int]) -> None:
    click_ids = ClickIds()
    # The same one again: its milliseconds are remembered then.
    for number in [*numbers, numbers[-1]]:
        assert click_ids.show(number >> 64, number & (2**64 - 1)).decode() == ids.show("click", UUID(int=number))


def test_a_fresh_id_is_one_uuid7_in_three_forms() -> None:
    click_ids = ClickIds()
    seen = set()
    for _ in range(500):
        text, at_ms, shown = click_ids.fresh()
        assert ids.read("click", shown.decode()) == UUID(text)
        assert ids.minted_ms(UUID(text)) == at_ms
        seen.add(text)
    assert len(seen) == 500
