"""Any text becomes one that PostgreSQL can store, as long as asked for."""

import pytest

from app.domain.text import storable


@pytest.mark.parametrize(
    ("text", "stored"),
    [("", ""), ("plain é 👍\n", "plain é 👍\n"), ("a\0b\0", "a␀b␀"), ("\ud800x", "?x")],
    ids=["empty", "plain", "NUL", "surrogate"],
)
def test_only_what_cannot_be_stored_is_replaced(text: str, stored: str) -> None:
    assert storable(text) == stored


def test_a_text_is_cut_before_anything_is_replaced_and_a_nul_may_become_anything() -> None:
    assert storable("abc", 2) == "ab"
    assert storable("abc", 3) == storable("abc", 9) == "abc"
    assert storable("a\0b", 2, nul="--") == "a--"
    assert storable("a\0b", nul="") == "ab"
