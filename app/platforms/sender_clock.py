"""How far the clock of a sender is from ours, where the headers of its messages say when they were sent."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median

from app.domain.strict_json import read_time
from app.platforms.kit.digests import read_timestamp
from app.platforms.registry import platform_of


def sent_at(platform: str, headers: Mapping[str, str], settings: Mapping[str, object] | None = None) -> datetime | None:
    """When a message was sent, by the sender's clock; None where no header (names in lower case) says so. Never raises.

    settings: of the source, which may describe a signature with a time in it.
    """
    for text in platform_of(platform).timestamps(headers, settings or {}):
        try:
            seconds = read_timestamp(text.strip())
            return read_time(text) if seconds is None else datetime.fromtimestamp(seconds, UTC)
        except (ValueError, OverflowError, OSError):
            continue
    return None


def clock_skew_ms(
    platform: str,
    messages: Sequence[tuple[Mapping[str, str], datetime]],
    settings: Mapping[str, object] | None = None,
) -> int | None:
    """The median of sender's time − time of receipt, over the messages whose headers say when they were sent; None when none does.

    Slightly negative is usual, because the message was under way; far from zero means that a clock has to be set. The median, because a retry
    repeats the old time.
    """
    skews = [
        (sent - received_at) / timedelta(milliseconds=1)
        for headers, received_at in messages
        if (sent := sent_at(platform, headers, settings))
    ]
    return round(median(skews)) if skews else None
