"""The lines that the doors write and the background process reads.

A line is a JSON array tagged by its kind; msgspec writes or reads one in a third of a microsecond and escapes newlines.

After an outage a newer release may read what an older one wrote, therefore:
- fields are found by position: a new one is added at the end, with a default;
- the id comes first: reader.py takes the time from it without decoding the line.
"""

from typing import Annotated

import msgspec
from msgspec import Meta


class ClickLine(msgspec.Struct, tag="click", array_like=True, frozen=True, gc=False):
    """One redirect that was answered with this click id."""

    id: Annotated[str, Meta(description="UUIDv7 as 36 characters; its time is the click's time.")]
    brand_id: str
    link_id: str
    visitor: Annotated[
        int | None, Meta(description="Keyed 63-bit hash of truncated address and browser; null with Sec-GPC.")
    ]
    address: Annotated[
        str, Meta(description="Truncated: IPv4 /24, IPv6 /48; '' with Sec-GPC. Only the country is kept of it.")
    ]
    user_agent: str
    referrer_host: str
    hint: Annotated[str, Meta(description="'' for a plain GET, else `head` or `prefetch`.")]


class MissLine(msgspec.Struct, tag="miss", array_like=True, frozen=True, gc=False):
    """A request for a slug that is unknown, expired or disabled."""

    id: str
    brand_id: Annotated[str | None, Meta(description="Null on the shared host, for a slug nobody has.")]
    host: str
    slug: str
    reason: Annotated[str, Meta(description="`unknown_slug`, `expired` or `disabled`.")]


class PixelLine(msgspec.Struct, tag="pixel", array_like=True, frozen=True, gc=False):
    """One hit of the pixel or the beacon, with its content as received."""

    id: Annotated[str, Meta(description="UUIDv7; the delivery's id and the time of receipt.")]
    brand_id: Annotated[str | None, Meta(description="Null when the publishable key is missing or unknown.")]
    key_id: str | None
    shop: str
    door: Annotated[str, Meta(description="`pixel` (GET) or `beacon` (POST).")]
    content_type: str
    body: Annotated[
        bytes,
        Meta(
            description="The query string as received (pixel, or a beacon without a body), else the body's raw bytes."
        ),
    ]


class HookLine(msgspec.Struct, tag="hook", array_like=True, frozen=True, gc=False):
    """One webhook or postback for a known source, with its raw bytes."""

    id: Annotated[str, Meta(description="UUIDv7; the delivery's id and the time of receipt.")]
    brand_id: str
    source_id: str
    platform: str
    shop: str
    signed: Annotated[
        bool,
        Meta(description="False: the signature failed, the sender was told 401, the message is kept for a replay."),
    ]
    reason: Annotated[str, Meta(description="Why the signature failed, '' when it did not.")]
    headers: Annotated[dict[str, str], Meta(description="Lower-case names; only those that matter to the platform.")]
    query: str
    body: bytes


Line = ClickLine | MissLine | PixelLine | HookLine
encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Line).decode
