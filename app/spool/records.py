"""The lines that the doors write and the background process reads.

A line is a JSON array tagged by its kind; msgspec writes or reads one in a third of a microsecond and escapes newlines.

After an outage a newer release may read what an older one wrote, therefore:
- fields are found by position: a new one is added at the end, with a default;
- the id comes first: reader.py takes the time from it without decoding the line.
"""

import msgspec


class ClickLine(msgspec.Struct, tag="click", array_like=True, frozen=True, gc=False):
    """One redirect that was answered with this click id, a UUIDv7 as 36 characters whose time is the click's.

    visitor: keyed 63-bit hash of address and browser, another every day, null with Sec-GPC. address: truncated (IPv4 /24, IPv6 /48), '' with Sec-GPC; only
    the country is kept of it. hint: '' for a plain GET, else `head`, `prefetch`, `embedded` (as a page's image or frame), or `own` for the brand's own
    people.
    """

    id: str
    brand_id: str
    link_id: str
    visitor: int | None
    address: str
    user_agent: str
    referrer_host: str
    hint: str


class MissLine(msgspec.Struct, tag="miss", array_like=True, frozen=True, gc=False):
    """A request for a slug that leads nowhere. reason: `unknown_slug`, `expired` or `disabled`. brand_id: null on the shared host, for a slug nobody has."""

    id: str
    brand_id: str | None
    host: str
    slug: str
    reason: str


class PixelLine(msgspec.Struct, tag="pixel", array_like=True, frozen=True, gc=False):
    """One hit of the pixel (GET) or the beacon (POST), with its content as received. id: the delivery's id and the time of receipt.

    brand_id: null when the publishable key is missing or unknown. body: the raw query string (pixel, or a beacon without a body), else the raw body.
    network: the sender's truncated address, '' with Sec-GPC.
    """

    id: str
    brand_id: str | None
    key_id: str | None
    shop: str
    door: str
    content_type: str
    body: bytes
    network: str = ""


class HookLine(msgspec.Struct, tag="hook", array_like=True, frozen=True, gc=False):
    """One webhook or postback for a known source, with its raw bytes. id: the delivery's id and the time of receipt.

    signed: False when the signature failed for this `reason`: the sender was told 401, the message is kept for a replay.
    headers: lower-case names; only those that matter to the platform. verified_by: which of the source's secrets signed it (`signing.secret_id`), ''
    where none did.
    """

    id: str
    brand_id: str
    source_id: str
    platform: str
    shop: str
    signed: bool
    reason: str
    headers: dict[str, str]
    query: str
    body: bytes
    verified_by: str = ""


Line = ClickLine | MissLine | PixelLine | HookLine
encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Line).decode
