"""When a sender says that it sent a message, where its headers say so: how far its clock and ours are apart."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median

from app.domain.strict_json import read_time
from app.platforms.kit.digests import read_timestamp
from app.platforms.presets import resolve

TRIGGERED = ("x-shopify-triggered-at", "shopify-triggered-at")
SECONDS = ("webhook-timestamp",)
"""Headers that are Unix seconds and nothing else (Standard Webhooks)."""
SCHEMES = {"stripe-signature": ("t", ",")}
"""Signature headers that hold the time beside the signature: its name, and what stands between the parts."""


def sent_at(headers: Mapping[str, str], settings: Mapping[str, object] | None = None) -> datetime | None:
    """The time a message was sent at, by the sender's clock; None where no header says so. Names in lower case. Never raises.

    settings: of the source, where they describe a signature of its own with a time in it.
    """
    for name in TRIGGERED:
        if name in headers:
            try:
                return read_time(headers[name])
            except ValueError:
                return None
    texts = [headers[name] for name in SECONDS if name in headers]
    for name, (part, between) in SCHEMES.items():
        texts += _parts(headers.get(name, ""), part, between)
    texts += _described(headers, settings or {})
    seconds = next((found for text in texts if (found := read_timestamp(text.strip())) is not None), None)
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _described(headers: Mapping[str, str], settings: Mapping[str, object]) -> list[str]:
    layout = resolve(settings).get("signature")
    if not isinstance(layout, dict):
        return []
    found = headers.get(str(layout.get("timestamp_header", "")).lower())
    texts = [] if found is None else [found]
    if layout.get("timestamp_key"):
        header = headers.get(str(layout.get("header", "")).lower(), "")
        texts += _parts(header, str(layout["timestamp_key"]), str(layout.get("separator") or ","))
    return texts


def _parts(text: str, name: str, between: str) -> list[str]:
    pairs = (each.strip().partition("=") for each in text.split(between))
    return [value for key, _, value in pairs if key == name]


def clock_skew_ms(
    messages: Sequence[tuple[Mapping[str, str], datetime]], settings: Mapping[str, object] | None = None
) -> int | None:
    """The median of sender's time − time of receipt, over those messages whose headers tell; None when none does.

    Slightly negative is usual, the message was under way; far from zero is a clock to be set. The median, because a retry says the old time.
    """
    skews = [
        (sent - received_at) / timedelta(milliseconds=1)
        for headers, received_at in messages
        if (sent := sent_at(headers, settings))
    ]
    return round(median(skews)) if skews else None
