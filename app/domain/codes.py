"""Promo codes as shoppers type them: which spellings are one code, which codes are allowed, and how a readable one is generated."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice

CODE_CHARS_MIN = 3
CODE_CHARS_MAX = 40
PATTERN_DEFAULT = "{HANDLE}{DISCOUNT}"
PLACEHOLDERS = ("HANDLE", "NAME", "CAMPAIGN", "DISCOUNT", "YEAR")
WORD_CHARS_MAX = 16
"""Longest part of a handle or name in a code, in characters: codes are said aloud in videos."""
SPELLINGS_CACHED = 4_096
"""Codes whose folded form is kept in memory: a campaign's code is folded several times for every order."""
FALLBACKS = 40
"""Candidates that are tried before giving up; the last ones end in four random characters each."""

# Without look-alikes and without vowels, so that no word is spelled by accident.
RANDOM_ALPHABET = "23456789CDFGHKMNPQRTVWXZ"

_SPELLED_OUT = str.maketrans({"Œ": "OE", "Æ": "AE", "Ø": "O", "Ł": "L", "Đ": "D", "Ð": "D", "Þ": "TH", "ẞ": "SS"})
_LOOK_ALIKES = str.maketrans(
    # One shape within an alphabet, and in two of them: Cyrillic, Greek; then letters that keyboards for Persian and for Arabic write differently.
    "OIL" + "АВЕЅІЈКМНОРСТУХҮӀԚԜ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ" + "یىک",
    "011" + "ABES1JKMH0PCTYXY1QW" + "ABEZH1KMN0PTYX" + "ييك",
)  # fmt: skip
_SHOWN_SIGNS = "- _ . % & + ! ' ’ * € $ £"
_SIGNS = frozenset(_SHOWN_SIGNS) | {"\u200c", "\u200d"}
"""What a code may have beside letters and digits, the joiners of Persian and Hindi among them. No separator of lists (, ; |), no mark-up."""
_SPELLING_CLASSES = frozenset((0, 7, 8, 9, *range(84, 133)))
# Joiners and variation selectors, which are marks without a shape.
_INVISIBLE = re.compile("[\u034f\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_MTAVRULI = range(0x1C90, 0x1CC0)
_MTAVRULI_SHIFT = 0x1C90 - 0x10D0
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_PATTERN = re.compile(r"(?:[0-9A-Za-z_-]|\{[^{}]*\})*")


def _folded(words: str) -> tuple[str, ...]:
    return tuple(words.translate(_LOOK_ALIKES).split())


# A code is printed beside the brand's name.
BLOCKED = _folded(
    "FUCK SHIT CUNT NIGGER NIGGA WHORE BITCH FAGGOT PORN NAZI HITLER RAPIST"
    " SALOPE CONNARD CONNASSE ENCULE PUTAIN MERDE BATARD NEGRE PEDOPHILE BRANLEUR NIQUE"
)
HARMLESS = _folded("SCUNTHORPE SHIITAKE SHITAKE PORNIC MERDEKA NEGRESCO UNIQUE MONIQUE DOMINIQUE VERONIQUE")
"""Words that contain a blocked one by accident."""


@lru_cache(maxsize=SPELLINGS_CACHED)
def normalise(code: str) -> str:
    """The form in which codes are compared: the letters and digits of `spell`, with look-alikes folded.

    '' for a text without letters or digits. « léa-10 », `LEA 10 %` and `LEA10` are one code; so are `LEAIO` and `LEA10`, which people cannot tell
    apart on a screen. docs/codes.md has the rules.
    """
    return spell(code).translate(_LOOK_ALIKES)


def spell(text: str) -> str:
    """Only letters and digits of a text, in capitals, accents dropped, ligatures spelled out: « @léa.cœur » → LEACOEUR, « Лёна-١٠ » → ЛЕНА10."""
    kept = "".join(map(_spelled, unicodedata.normalize("NFKD", text).upper().translate(_SPELLED_OUT)))
    # A mark without the letter that carries it says nothing.
    begin = next((at for at, each in enumerate(kept) if each.isalnum()), len(kept))
    return unicodedata.normalize("NFC", kept[begin:])


def _spelled(character: str) -> str:
    """What a capital letter, digit or mark counts for; '' for everything else."""
    if character.isascii():
        return character if character.isalnum() else ""
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    if ord(character) in _MTAVRULI:
        # Capitals of Georgian, which has none in print.
        return chr(ord(character) - _MTAVRULI_SHIFT)
    is_letter = character.isalnum() and not _is_ornament(character)
    return character if is_letter or _is_vowel_sign(character) else ""


def _is_ornament(character: str) -> bool:
    """Whether a letter is none: apostrophes and tones that stand on their own (ʼ), and the Arabic lengthening stroke."""
    return "\u02b0" <= character <= "\u02ff" or character == "\u0640"


def _is_vowel_sign(character: str) -> bool:
    """Whether a mark is part of the spelling, as the vowels of Hindi and Thai and the voicing of kana are; accents, and the points of Hebrew and
    Arabic, which most people leave out, are not. The class by which Unicode places a mark tells them apart.
    """
    if unicodedata.category(character) not in ("Mn", "Mc") or _INVISIBLE.match(character):
        return False
    return unicodedata.combining(character) in _SPELLING_CLASSES


def check_code(text: str) -> str:
    """A code as the brand wrote it, without surrounding spaces. Raises ValueError with one sentence."""
    code = unicodedata.normalize("NFKC", text).strip()
    if not code[:1].isalnum() or not all(map(_may_stand, code)):
        raise ValueError(f"must begin with a letter or digit, and may have letters, digits, spaces and {_SHOWN_SIGNS}")
    folded = normalise(code)
    if len(folded) < CODE_CHARS_MIN:
        raise ValueError(f"must have at least {CODE_CHARS_MIN} letters or digits")
    if len(code) > CODE_CHARS_MAX:
        raise ValueError(f"must have at most {CODE_CHARS_MAX} characters")
    if is_blocked(folded):
        raise ValueError("contains a word that nobody wants beside their name")
    return code


def _may_stand(character: str) -> bool:
    return character.isalnum() or character in _SIGNS or unicodedata.category(character) in ("Mn", "Mc")


def is_blocked(folded: str) -> bool:
    """Whether a folded code contains a word of the blocked list, other than inside a harmless one."""
    for word in HARMLESS:
        folded = folded.replace(word, "-")
    return any(word in folded for word in BLOCKED)


def check_pattern(pattern: str) -> str:
    """A pattern such as `{HANDLE}{DISCOUNT}`. Raises ValueError naming the placeholder or the characters that are not allowed."""
    for name in _PLACEHOLDER.findall(pattern):
        if name.upper() not in PLACEHOLDERS:
            raise ValueError(f"{{{name}}} is none of {', '.join(f'{{{each}}}' for each in PLACEHOLDERS)}")
    if not _PATTERN.fullmatch(pattern):
        raise ValueError("may have letters, digits, - and _ beside its {PLACEHOLDERS}")
    return pattern


def candidates(pattern: str, words: Mapping[str, str], random: int) -> Iterator[str]:
    """Codes to try, the most readable first: as the pattern says, then with a digit at the end, then with random characters.

    words: the text of each placeholder, in any spelling; a missing one is empty. random: at least 20 random bits for each candidate
    of the last kind (FALLBACKS × 20). At most FALLBACKS codes, none blocked, none too short.
    """
    base = _fill(pattern, words)
    return islice((code for code in _endless(base, random) if _usable(code)), FALLBACKS)


def _endless(base: str, random: int) -> Iterator[str]:
    yield base
    for digit in range(2, 10):
        yield f"{base}{'-' if base[-1:].isdigit() else ''}{digit}"
    while random:
        random, tail = random_characters(random, 4)
        yield f"{base[: CODE_CHARS_MAX - 4]}{tail}"


def _usable(code: str) -> bool:
    folded = normalise(code)
    return len(folded) >= CODE_CHARS_MIN and len(code) <= CODE_CHARS_MAX and not is_blocked(folded)


def _fill(pattern: str, words: Mapping[str, str]) -> str:
    def word(found: re.Match[str]) -> str:
        return spell(words.get(found[1], ""))[:WORD_CHARS_MAX]

    return _PLACEHOLDER.sub(word, pattern.upper())[:CODE_CHARS_MAX].strip("-_")


def random_characters(random: int, count: int) -> tuple[int, str]:
    """What is left of a random number, and this many characters made from it."""
    characters = []
    for _ in range(count):
        random, place = divmod(random, len(RANDOM_ALPHABET))
        characters.append(RANDOM_ALPHABET[place])
    return random, "".join(characters)
