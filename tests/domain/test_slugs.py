"""Slugs: what may stand after the host, and how one is made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.slugs import ALPHABET, RESERVED, check_slug, make_slug


@pytest.mark.parametrize(("given_as", "slug"), [("Lea", "lea"), (" LEA-10 ", "lea-10"), ("a_b", "a_b"), ("123", "123")])
def test_a_good_slug_is_stored_in_lower_case(given_as: str, slug: str) -> None:
    assert check_slug(given_as) == slug


NOT_TYPED = ["", "ab", "-abc", "abc-", "a b c", "a/b/c", "a.bc", "é" * 4, "a" * 65, "%41bc", "ab\x00c"]


@pytest.mark.parametrize("slug", [*sorted(RESERVED), *NOT_TYPED])
def test_a_slug_of_ours_or_one_nobody_can_type_is_refused(slug: str) -> None:
    with pytest.raises(ValueError, match=r"must|may|is a path"):
        check_slug(slug)


@given(st.integers(min_value=0, max_value=2**40 - 1))
def test_a_made_slug_is_short_lower_case_and_acceptable(number: int) -> None:
    slug = make_slug(number)
    assert check_slug(slug) == slug
    assert set(slug) <= set(ALPHABET)
    assert len(slug) <= 12


@given(st.sets(st.integers(min_value=0, max_value=2**40 - 1), min_size=2, max_size=50))
def test_distinct_numbers_give_distinct_slugs(numbers: set[int]) -> None:
    assert len({make_slug(number) for number in numbers}) == len(numbers)
