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

_LOOK_ALIKES = str.maketrans(
    {"O": "0", "I": "1", "L": "1", "Œ": "0E", "Æ": "AE", "Ø": "0", "Ł": "1", "Đ": "D", "Ð": "D", "Þ": "TH"}
)
_TYPED = re.compile(r"[0-9A-Za-zÀ-ÖØ-öø-ſ]+(?:[ ._-]+[0-9A-Za-zÀ-ÖØ-öø-ſ]+)*")
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
    """The form in which codes are compared: compatibility characters, case, accents, spaces, dashes and look-alikes folded.

    '' for a text without letters or digits. « léa-10 » and `LEA10` are one code; so are `LEAIO` and `LEA10`, which people cannot tell apart on a screen.
    """
    decomposed = unicodedata.normalize("NFKD", code).upper()
    return "".join(character for character in decomposed if character.isalnum()).translate(_LOOK_ALIKES)


def check_code(text: str) -> str:
    """A code as the brand wrote it, without surrounding spaces. Raises ValueError with one sentence."""
    code = unicodedata.normalize("NFKC", text).strip()
    if not _TYPED.fullmatch(code):
        raise ValueError("may have letters, digits, and spaces or - _ . between them")
    folded = normalise(code)
    if len(folded) < CODE_CHARS_MIN:
        raise ValueError(f"must have at least {CODE_CHARS_MIN} letters or digits")
    if len(code) > CODE_CHARS_MAX:
        raise ValueError(f"must have at most {CODE_CHARS_MAX} characters")
    if is_blocked(folded):
        raise ValueError("contains a word that nobody wants beside their name")
    return code


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
        return spell(words.get(found[1].upper(), ""))[:WORD_CHARS_MAX]

    return _PLACEHOLDER.sub(word, pattern).upper()[:CODE_CHARS_MAX].strip("-_")


def spell(text: str) -> str:
    """Only letters A-Z and digits of a text, accents dropped, ligatures spelled out: « @léa.cœur » → LEACOEUR."""
    spelled = text.upper().replace("Œ", "OE").replace("Æ", "AE").replace("Ø", "O")
    decomposed = unicodedata.normalize("NFKD", spelled)
    return "".join(character for character in decomposed if character.isascii() and character.isalnum())


def random_characters(random: int, count: int) -> tuple[int, str]:
    """What is left of a random number, and this many characters made from it."""
    characters = []
    for _ in range(count):
        random, place = divmod(random, len(RANDOM_ALPHABET))
        characters.append(RANDOM_ALPHABET[place])
    return random, "".join(characters)
