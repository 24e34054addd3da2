"""Promo codes: folding, checking, generating."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.codes import (
    BLOCKED,
    CODE_CHARS_MAX,
    FALLBACKS,
    PATTERN_DEFAULT,
    RANDOM_ALPHABET,
    candidates,
    check_code,
    check_pattern,
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
    assert spell("Ærø 7") == "AERO7"
    assert normalise("ŒÆØŁĐÐÞ") == "0EAE01DDTH"


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


@pytest.mark.parametrize(
    ("text", "code"),
    [(" Léa 10 ", "Léa 10"), ("L-1_0.x", "L-1_0.x"), ("abc", "abc"), ("ａｂｃ", "abc"), ("A" * 40, "A" * 40)],
)
def test_a_code_is_kept_as_the_brand_wrote_it(text: str, code: str) -> None:
    assert check_code(text) == code


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "may have letters, digits"),
        ("-LEA", "may have letters, digits"),
        ("LEA-", "may have letters, digits"),
        ("LEA%10", "may have letters, digits"),
        ("李小龍", "may have letters, digits"),
        ("AB", "must have at least 3"),
        ("A-B", "must have at least 3"),
        ("A" * 41, "must have at most 40"),
        ("Sh1t-10", "contains a word"),
    ],
)
def test_a_code_nobody_could_type_or_say_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_code(text)


def test_blocked_words_are_found_however_they_are_spelled() -> None:
    for code in ("SHIT10", "sh1t-10", "s.h.i.t", "m e r d é", "UNIQUEMERDE"):
        assert is_blocked(normalise(code)), code


def test_harmless_words_are_left_alone() -> None:
    for code in ("CLASSIC10", "ASSAM", "BASSE20", "MERCI", "ESSEX", "UNIQUE10", "Scunthorpe", "Monique-5", "Negresco",
                 "Shiitake", "Shitake", "Pornic", "Merdeka", "Dominique", "Véronique"):  # fmt: skip
        assert not is_blocked(normalise(code)), code
    assert all(is_blocked(word) for word in BLOCKED)


@pytest.mark.parametrize("pattern", ["{HANDLE}{DISCOUNT}", "{name}-{Campaign}_{YEAR}", "Sale10z", "", PATTERN_DEFAULT])
def test_a_pattern_of_known_placeholders_is_accepted(pattern: str) -> None:
    assert check_pattern(pattern) == pattern


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("{HANDEL}", r"\{HANDEL\} is none of \{HANDLE\}, \{NAME\}, \{CAMPAIGN\}, \{DISCOUNT\}, \{YEAR\}"),
        ("{}", "is none of"),
        ("{HANDLE} 10", "may have letters, digits"),
        ("{HANDLE", "may have letters, digits"),
        ("É{HANDLE}", "may have letters, digits"),
    ],
)
def test_another_pattern_is_refused_with_its_reason(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "words", "first"),
    [
        ("{handle}-{YEAR}", {"HANDLE": "Zoë", "YEAR": "2026"}, ["ZOE-2026", "ZOE-2026-2", "ZOE-2026-3"]),
        ("{NAME}", {"NAME": "abcdefghijklmnopqrst"}, ["ABCDEFGHIJKLMNOP", "ABCDEFGHIJKLMNOP2", "ABCDEFGHIJKLMNOP3"]),
        ("_{CAMPAIGN}-sale-", {}, ["SALE", "SALE2", "SALE3"]),
        ("{NAME}{CAMPAIGN}", {"NAME": "al"}, ["AL2", "AL3", "AL4"]),
        # 40 characters leave no room for a digit: only the random ones cut the name.
        ("x" * 50, {}, ["X" * 40, "X" * 36 + "2222", "X" * 36 + "3222"]),
    ],
)
def test_candidates_follow_the_pattern_as_worked_out_by_hand(
    pattern: str, words: dict[str, str], first: list[str]
) -> None:
    # Each candidate takes four characters off the number: 2222, then 3222.
    random = len(RANDOM_ALPHABET) ** 4 * (1 + len(RANDOM_ALPHABET) ** 4)
    assert list(candidates(pattern, words, random))[:3] == first


def test_candidates_begin_readable_and_end_random() -> None:
    found = list(candidates("{HANDLE}{DISCOUNT}", {"HANDLE": "@léa.cooks", "DISCOUNT": "10"}, RANDOM))
    assert found[:3] == ["LEACOOKS10", "LEACOOKS10-2", "LEACOOKS10-3"]
    assert len(found) == FALLBACKS == 40
    assert len({normalise(code) for code in found}) == FALLBACKS
    assert set(found[-1].removeprefix("LEACOOKS10")) <= set(RANDOM_ALPHABET)
    assert all(code == code.upper() for code in found)
    assert PATTERN_DEFAULT == "{HANDLE}{DISCOUNT}"
    assert {len(code) for code in found[9:]} == {14}


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
