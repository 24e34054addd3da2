"""The demo's own clock; all times are aware and in UTC."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The present moment."""
    return datetime.now(UTC)


def monotonic_s() -> float:
    """Seconds of a clock that never jumps, for deadlines."""
    return time.monotonic()
