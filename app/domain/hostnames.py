"""Host names: one spelling of each, whether it was written in capitals, with a final dot, in its own script or as `xn--…`.

`fold_host` is all that the redirect needs; the rest is for names that people enter. Emoji are no part of IDNA 2008, yet such domains are sold and
browsers open them, so their labels are encoded here the way browsers do.
"""

import re
import unicodedata
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

HOST_MAX_CHARS = 253

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_SYMBOLS = frozenset({"So", "Sk", "Sm"})
"""Categories of the characters that browsers accept in a label beside those of IDNA 2008: emoji, their skin tones, arrows."""
_JOINERS = "\u200c\u200d"
"""Part of words in Persian and Indic names; idna tells where they may stand."""
_INVISIBLE = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
_BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and a Braille pattern that show nothing."""
_TAGS = range(0xE0020, 0xE0080)
"""Invisible parts of the flags of regions, such as Scotland's."""

NO_DOMAIN = "has a host that is no valid domain name"


def is_invisible(character: str) -> bool:
    """Whether a character shows nothing: a space, a zero-width character, a mark of direction, a control character."""
    if character in _BLANK_LETTERS:
        return True
    return unicodedata.category(character) in _INVISIBLE and ord(character) not in _TAGS


def strip_invisible(text: str) -> str:
    """`text` without what is invisible at its ends."""
    start, end = 0, len(text)
    while start < end and is_invisible(text[start]):
        start += 1
    while end > start and is_invisible(text[end - 1]):
        end -= 1
    return text[start:end]


def fold_host(text: str) -> str:
    """A host name in ASCII as it is compared: in lower case, without a final dot. `text` may be anything."""
    return text.lower().removesuffix(".")


def spell_host(text: str) -> str:
    """A host name as it is stored and compared: ASCII, lower case, without a final dot. Raises ValueError with one sentence."""
    return fold_host(ascii_host(strip_invisible(text)))


def find_host(text: str) -> str:
    """`spell_host` for a filter or a path: what cannot be a host name is returned folded, and is found nowhere."""
    try:
        return spell_host(text)
    except ValueError:
        return fold_host(text)


@cache
def _public_suffixes() -> "PublicSuffixList":
    # Imported here: the list takes a tenth of a second to read, and the redirect needs none of it.
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


def is_public_suffix(host: str) -> bool:
    """Whether names under this host (`co.uk`, `github.io`) belong to unrelated people, by https://publicsuffix.org. host: as `spell_host` gives it."""
    return bool(_public_suffixes().is_public(host))


def ascii_host(host: str) -> str:
    """The host of an address in ASCII and lower case; an IPv6 address (without its brackets) gets them. A final dot stays.

    Raises ValueError with one sentence that says what is wrong.
    """
    if not host:
        raise ValueError("has no host")
    hidden = next((each for each in host if is_invisible(each) and each not in _JOINERS), None)
    if hidden == " ":
        raise ValueError("has a space in its host")
    if hidden is not None:
        raise ValueError(f"has an invisible character (U+{ord(hidden):04X}) in its host")
    if ":" in host:
        try:
            return f"[{IPv6Address(host).compressed}]"
        except ValueError:
            raise ValueError("has a host that is no IPv6 address") from None
    name = host.lower()
    if not host.isascii() or "xn--" in name:
        name = _encode(host)
    labels = name.removesuffix(".").split(".")
    if len(name) > HOST_MAX_CHARS or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(NO_DOMAIN)
    if _NUMBER.fullmatch(labels[-1]):
        # A browser reads every such name as an IPv4 address, `2130706433` too.
        try:
            IPv4Address(name)
        except ValueError:
            raise ValueError("has a host that ends in a number and is no IPv4 address") from None
    return name


def _encode(host: str) -> str:
    # Imported here: its tables take longer to load than everything else the redirect needs, and few hosts need them.
    import idna

    try:
        return ".".join(_encode_label(label) for label in idna.uts46_remap(host, std3_rules=False).split("."))
    except (idna.IDNAError, UnicodeError):
        raise ValueError(NO_DOMAIN) from None


def _encode_label(label: str) -> str:
    """A label after UTS 46, in ASCII. Raises idna's errors and UnicodeError."""
    import idna

    if label.isascii() and not label.startswith("xn--"):
        return label
    try:
        return idna.alabel(label).decode()
    except (idna.IDNAError, UnicodeError):
        shown = label.removeprefix("xn--").encode().decode("punycode") if label.isascii() else label
        plain = "".join("" if unicodedata.category(each) in _SYMBOLS else each for each in shown)
        if plain == shown or "-" in (shown[0], shown[-1]) or idna.uts46_remap(shown, std3_rules=False) != shown:
            raise
        if plain := plain.strip("-"):
            idna.alabel(plain)  # what stands beside the symbols has to be a name by itself
        encoded = f"xn--{shown.encode('punycode').decode()}"
        if label.isascii() and encoded != label:
            raise
        return encoded
