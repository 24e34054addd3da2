"""How many values a JSON text holds, counted on its bytes before anything is parsed: what parsing costs depends on them, not on the bytes."""

SLICE_BYTES = 64 << 10
"""Bytes counted at a time; about a millisecond at most."""
_OPENERS_AND_COMMAS = b",[{"


class JsonCount:
    """Counts a text that arrives in parts.

    values: at least as many as have been there: each follows a comma or an opening bracket. Of a text that is not JSON it is right up to the first
    byte that cannot be, where every parser stops. escapes: backslashes inside and outside of texts; each costs a parser as much as a small value.
    run_bytes: bytes since the last quote, comma or opening bracket that was seen: of the text, number or space that goes on at the end of the last part.
    """

    def __init__(self) -> None:
        self.values = 1
        self.escapes = 0
        self.run_bytes = 0
        self._in_text = False
        self._half = b""

    def feed(self, part: bytes) -> None:
        """Counts the next part; in C, without a step of Python for any byte."""
        self.escapes += part.count(b"\\")
        part = self._half + part
        # A backslash at the end may escape the first byte of the next part.
        self._half = b"\\" if (len(part) - len(part.rstrip(b"\\"))) % 2 else b""
        part = part[: len(part) - len(self._half)]
        if b"\\" in part:
            part = part.replace(b"\\\\", b"").replace(b'\\"', b"")
        pieces = part.split(b'"')
        outside = b"".join(pieces[self._in_text :: 2])
        self._in_text ^= len(pieces) % 2 == 0
        more_values = len(outside) - len(outside.translate(None, _OPENERS_AND_COMMAS))
        self.values += more_values
        goes_on = len(pieces) == 1 and not more_values
        self.run_bytes = len(pieces[-1]) + (self.run_bytes if goes_on else 0)


def holds_more(body: bytes, values_max: int) -> bool:
    """Whether a JSON text may hold more values than this."""
    # Every value but the first costs a byte beside its own.
    if len(body) < values_max:
        return False
    count = JsonCount()
    for start in range(0, len(body), SLICE_BYTES):
        count.feed(body[start : start + SLICE_BYTES])
        if count.values > values_max:
            return True
    return False
