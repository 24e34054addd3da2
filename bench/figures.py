"""Medians, spreads and percentiles, and how they are printed."""

import statistics
from collections.abc import Sequence


def spread_percent(values: Sequence[float]) -> float:
    """How far the highest lies over the lowest."""
    return (max(values) / min(values) - 1) * 100 if min(values) > 0 else 0.0


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def rate(values: Sequence[float], unit: str = "") -> str:
    """`650 clicks/s  ± 25 %`: the median and the spread."""
    return f"{statistics.median(values):9,.0f}{unit and f' {unit}'}/s  ±{spread_percent(values):3.0f} %"


def times(values_ms: Sequence[float], *, percent: float = 99) -> str:
    """`p50  1.2 ms  p99  3.6 ms  max  9.9 ms`. percent: the higher percentile shown."""
    middle, high = percentile(values_ms, 50), percentile(values_ms, percent)
    return f"p50 {middle:6.1f} ms  p{percent} {high:6.1f} ms  max {max(values_ms):6.1f} ms"
