"""Click ids for the redirect: UUIDv7 in both forms, at half the cost of converting one form into the other (docs/performance.md).

A UUIDv7 is 48 bits of milliseconds, then 80 bits: version, variant and 74 random bits. 26 characters of 5 bits hold 2 bits more than a UUID,
so the first ten characters are exactly the milliseconds and the other sixteen exactly the 80 bits. The front is made once a millisecond, the
tails of BATCH ids together in a few calls.
"""

import os
from struct import Struct

from app import clock
from app.domain.ids import ALPHABET, PREFIXES

BATCH = 256
TAIL_CHARS = 16
HEX_CHARS = 20
TEXT_CHARS = 22
"""Length of a tail as stored, `7xxx-yxxx-xxxxxxxxxxxx`."""

_DIGITS = b"0123456789abcdefghijklmnopqrstuv"
"""The digits of `int(…, 32)`; ids are shown with other ones."""
_cut = Struct(f"{TAIL_CHARS}s" * BATCH).unpack
_SHOWN = bytes.maketrans(_DIGITS, ALPHABET.encode())


def _digits(keep: int, put: int) -> bytes:
    """A translation table from a random byte to a digit: the random bits in `keep`, combined with the fixed bits in `put`."""
    return bytes(_DIGITS[byte & keep | put] for byte in range(256))


_RANDOM = _digits(0b11111, 0)
_VERSION = _digits(0b00001, 0b01110)
"""Bits 0 to 4 of the 80: the version, 0111, and the first random one."""
_VARIANT = _digits(0b10011, 0b01000)
"""Bits 15 to 19: a random one, the variant, 10, and two random ones."""


class ClickIds:
    """Makes the click ids of one worker."""

    def __init__(self) -> None:
        self._ms = -1
        self._front = ""
        self._shown_front = b""
        self._texts: list[str] = []
        self._shown: list[bytes] = []

    def fresh(self) -> tuple[str, int, bytes]:
        """A new UUIDv7 as stored (36 characters), its milliseconds, and the same id as shown (`clk_01k…`)."""
        ms = clock.now_ms()
        if ms != self._ms:
            self._ms = ms
            self._front = f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-"
            shown = "".join([ALPHABET[ms >> shift & 31] for shift in range(45, -5, -5)])
            self._shown_front = f"{PREFIXES['click']}_{shown}".encode()
        if not self._texts:
            self._texts, self._shown = _make_tails()
        return self._front + self._texts.pop(), ms, self._shown_front + self._shown.pop()


def _make_tails() -> tuple[list[str], list[bytes]]:
    """The last 80 bits of BATCH ids, as stored and as shown."""
    noise = os.urandom(BATCH * TAIL_CHARS)
    digits = bytearray(noise.translate(_RANDOM))
    digits[0::TAIL_CHARS] = noise[0::TAIL_CHARS].translate(_VERSION)
    digits[3::TAIL_CHARS] = noise[3::TAIL_CHARS].translate(_VARIANT)
    # All ids as one number: with a power of two as its base this is a single pass.
    in_hex = f"{int(digits, 32):0{BATCH * HEX_CHARS}x}".encode()
    texts = bytearray(b"----------------------\n" * BATCH)
    for column in range(HEX_CHARS):
        dashes = (column >= 4) + (column >= 8)
        texts[column + dashes :: TEXT_CHARS + 1] = in_hex[column::HEX_CHARS]
    return texts.decode().split(), list(_cut(bytes(digits).translate(_SHOWN)))
