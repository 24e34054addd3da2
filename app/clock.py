"""The only clock. Every time in the service is aware UTC and comes from here, so that tests can move it."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, aware, UTC."""
    return datetime.now(UTC)


def now_ms() -> int:
    """The present moment in milliseconds since the Unix epoch, the resolution of our ids."""
    return time.time_ns() // 1_000_000


def monotonic_s() -> float:
    """Seconds of a clock that never jumps: for durations and deadlines, never for facts."""
    return time.monotonic()
