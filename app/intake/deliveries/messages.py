"""One raw message of any public door, and what the parser of its platform reads from it."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from uuid import UUID

import msgspec
from msgspec.structs import force_setattr

from app.database import uuids
from app.domain import ids
from app.domain.orders import TRUST_PIXEL, TRUST_SERVER, TRUST_SIGNED_PIXEL, TRUST_WEBHOOK, Context, Parsed, Receipt
from app.domain.strict_json import Unreadable
from app.platforms import pixel
from app.platforms.kit.digests import BY_TOKEN, QUERY
from app.platforms.registry import load_platforms, platform_of
from app.spool.records import HookLine, PixelLine

load_platforms()

IDS_CACHED = 1_024
"""Parsed ids of brands, sources and keys in the cache."""
PIXEL_DOORS = frozenset({"pixel", "beacon"})


class Message(msgspec.Struct, frozen=True):
    """A message as received. platform: of its source, or the door itself (`pixel`, `beacon`). origin_id: the source or publishable key."""

    id: UUID
    platform: str
    origin_id: UUID | None
    shop: str
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime
    # Why its signature is wrong; None when it is right, or when there is none to check.
    unsigned: str | None = None
    # When and by which of its source's secrets (`signing.secret_id`; None: not known) it was found to be rightly signed. It is never checked again:
    # what is kept of it has not the signed bytes any more.
    verified_at: datetime | None = None
    verified_by: str | None = None
    # SHA-256 of the raw body; of query and body where the query is read, because the bodies of GETs are all alike. Computed once.
    body_hash: bytes = b""
    # Topic and the sender's own id of the message, '' where unknown.
    identity: tuple[str, str] = ("", "")

    def __post_init__(self) -> None:
        force_setattr(self, "body_hash", self._hashed())
        force_setattr(self, "identity", self._identified())

    @property
    def claims_signature(self) -> bool:
        """Whether a hit of the pixel or beacon may say that the shop's server signed it."""
        return self.is_pixel and (b"sig=" in self.body or b'"sig"' in self.body)

    @property
    def is_pixel(self) -> bool:
        """Whether anybody could have sent it."""
        return self.platform in PIXEL_DOORS

    def _hashed(self) -> bytes:
        if not self.is_pixel and platform_of(self.platform).by_query:
            return hashlib.sha256(self.headers.get(QUERY, "").encode("latin-1", "replace") + b"\n" + self.body).digest()
        return hashlib.sha256(self.body).digest()

    def _identified(self) -> tuple[str, str]:
        if self.is_pixel:
            # Every hit is a delivery of its own; by the line's id it is recognised when the spool is read again.
            return "", str(self.id)
        return platform_of(self.platform).identify(self.headers)

    def read(self, context: Context) -> Parsed:
        """What it reports. Never raises."""
        if self.is_pixel:
            return pixel.parse(
                self.body, self.headers.get("content-type", ""), context, self.headers.get(pixel.NETWORK, "")
            )
        return platform_of(self.platform).parse(self.body, self.headers, context)

    def receipt(self, *, vouched: bool = False) -> Receipt:
        """How the message came, and so how far it is trusted. vouched: it is about what the shop's server signed of a pixel."""
        is_signed = not self.is_pixel and BY_TOKEN not in self.headers and platform_of(self.platform).is_signed
        return Receipt(
            trust=TRUST_SIGNED_PIXEL
            if vouched
            else TRUST_PIXEL
            if self.is_pixel
            else TRUST_WEBHOOK
            if is_signed
            else TRUST_SERVER,
            door=self.platform if self.is_pixel else "hook",
            platform="pixel" if self.is_pixel else self.platform,
            received_at=self.received_at,
            origin_id=None if self.origin_id is None else str(self.origin_id),
            delivery_id=str(self.id),
        )


read_id = lru_cache(maxsize=IDS_CACHED)(uuids.read_id)
"""The id of a brand, source or key from its text, cached because lines repeat the same few. ValueError when it is none."""


def key_of(message: Message) -> str:
    """The publishable key (`k`) that a hit of the pixel or beacon names; '' when it names none."""
    try:
        fields = pixel.read_fields(message.body, message.headers.get("content-type", ""))
    except Unreadable:
        return ""
    key = fields.get("k")
    return key if isinstance(key, str) else ""


def message_of(line: HookLine | PixelLine) -> Message:
    """The message on a line of the spool. ValueError when its ids are none."""
    line_id = uuids.read_id(line.id)
    received_at = ids.minted_at(line_id)
    if isinstance(line, PixelLine):
        headers = {"content-type": line.content_type} if line.content_type else {}
        if line.network and pixel.may_be_weak(line.body):
            headers[pixel.NETWORK] = line.network
        return Message(
            id=line_id,
            platform=line.door,
            origin_id=None if line.key_id is None else read_id(line.key_id),
            shop=line.shop,
            headers=headers,
            body=line.body,
            received_at=received_at,
        )
    headers = {name.lower(): value for name, value in line.headers.items()}
    if line.query:
        headers[QUERY] = line.query
    return Message(
        id=line_id,
        platform=line.platform,
        origin_id=read_id(line.source_id),
        shop=line.shop,
        headers=headers,
        body=line.body,
        received_at=received_at,
        unsigned=None if line.signed else line.reason or "wrong_signature",
        # A platform that signs refuses what comes to a source without a secret.
        verified_at=received_at if line.verified_by or (line.signed and platform_of(line.platform).is_signed) else None,
        verified_by=line.verified_by or None,
    )
