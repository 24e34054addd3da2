"""Promo codes: folding, checking, generating."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.codes import (
    BLOCKED,
    CODE_CHARS_MAX,
    FALLBACKS,
    RANDOM_ALPHABET,
    candidates,
    check_code,
    is_blocked,
    normalise,
    spell,
)

RANDOM = 2 ** (FALLBACKS * 20) - 12_345


def test_case_accents_spaces_dashes_and_look_alikes_fold_into_one_code() -> None:
    spellings = ["LEA10", "lea10", "Léa 10", "l-e-a_1.0", "LEAIO", "leal0", "ｌｅａ１０", " lea10 ", "1ea10"]
    assert {normalise(spelling) for spelling in spellings} == {"1EA10"}


def test_different_codes_stay_different() -> None:
    codes = ["LEA10", "LEA100", "LEA1", "ZOE10", "5EA10", "SEA10", "B8", "88"]
    assert len({normalise(code) for code in codes}) == len(codes)


def test_ligatures_are_spelled_out_both_ways() -> None:
    assert normalise("cœur") == normalise("COEUR") == normalise("c0eur")
    assert normalise("straße") == normalise("STRASSE")
    assert spell("@léa.cœur") == "LEACOEUR"


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(st.text(max_size=60))
def test_what_is_accepted_can_be_typed_and_found_again(text: str) -> None:
    try:
        code = check_code(text)
    except ValueError:
        return
    assert len(code) <= CODE_CHARS_MAX
    assert len(normalise(code)) >= 3
    assert normalise(code.lower()) == normalise(code.upper()) == normalise(code)


def test_blocked_words_are_found_however_they_are_spelled() -> None:
    for code in ("SHIT10", "sh1t-10", "s.h.i.t", "m e r d é", "UNIQUEMERDE"):
        assert is_blocked(normalise(code)), code


def test_harmless_words_are_left_alone() -> None:
    for code in ("CLASSIC10", "ASSAM", "BASSE20", "MERCI", "ESSEX", "UNIQUE10", "Scunthorpe", "Monique-5", "Negresco"):
        assert not is_blocked(normalise(code)), code
    assert all(is_blocked(word) for word in BLOCKED)


def test_candidates_begin_readable_and_end_random() -> None:
    found = list(candidates("{HANDLE}{DISCOUNT}", {"HANDLE": "@léa.cooks", "DISCOUNT": "10"}, RANDOM))
    assert found[:3] == ["LEACOOKS10", "LEACOOKS10-2", "LEACOOKS10-3"]
    assert len(found) == FALLBACKS
    assert len({normalise(code) for code in found}) == FALLBACKS
    assert set(found[-1].removeprefix("LEACOOKS10")) <= set(RANDOM_ALPHABET)


def test_a_pattern_that_stands_for_nothing_still_gives_codes() -> None:
    found = list(candidates("{HANDLE}", {"HANDLE": "李"}, RANDOM))
    assert found
    assert all(len(code) >= 3 for code in found)


def test_a_blocked_handle_is_passed_over_until_nothing_is_left() -> None:
    assert list(candidates("{HANDLE}", {"HANDLE": "shit"}, 0)) == []


@given(st.text(max_size=80), st.integers(min_value=0, max_value=RANDOM))
def test_every_candidate_is_a_code_that_would_be_accepted(handle: str, random: int) -> None:
    for code in candidates("{HANDLE}{DISCOUNT}", {"HANDLE": handle, "DISCOUNT": "15"}, random):
        assert check_code(code) == code
