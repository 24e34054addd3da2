"""The signed pixel: a hit whose fields the shop's own server vouches for, by `sig` (docs/pixel.md). Pure.

`sig` is the HMAC-SHA256, in hex, of the canonical form of the fields it covers: sorted by name, each `name=value` with both percent-encoded (RFC 3986),
joined by `&`. Field `signed` lists the names it covers, with commas; without it, all fields of the hit are. `event` and `shop`, the shop of the
publishable key, are always covered, so that no signature is good for another kind of event or in another shop.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import quote

from app.domain.strict_json import Unreadable
from app.platforms.kit.digests import MALFORMED, UNARMED, WRONG, encoded, read_hex
from app.platforms.kit.digests import signed as is_signed

SIGNATURE, COVERED, KEY, EVENT, SHOP = "sig", "signed", "k", "event", "shop"
_BESIDE = frozenset({SIGNATURE, COVERED, KEY})

Fields = Mapping[str, object]


class Vouched(NamedTuple):
    """The fields of a signed hit. covered: those that the shop's server vouches for. rest: what anybody may have added. signature: in hex."""

    covered: Fields
    rest: Fields
    signature: str


def canonical(fields: Mapping[str, str]) -> bytes:
    """What is signed of these fields, `event` and `shop` among them."""
    return "&".join(f"{_escaped(name)}={_escaped(fields[name])}" for name in sorted(fields)).encode()


def open_signed(fields: Fields, event: str, shop: str, secrets: Sequence[str], *, is_verified: bool = False) -> Vouched:
    """The fields of a hit with a `sig`, once one of the secrets has made it. Raises Unreadable with the word for what is wrong.

    is_verified: that was found before, and the hit is not as it was signed any more: a shopper's data has been blotted out.
    """
    if not secrets and not is_verified:
        raise Unreadable(UNARMED, "the publishable key has no signing secret: POST /v1/keys/{id}/signing_secrets")
    signature = fields[SIGNATURE]
    digest = read_hex(signature) if isinstance(signature, str) else None
    if digest is None:
        raise Unreadable(MALFORMED, "sig must be a SHA-256 digest in hex, 64 digits")
    listed = fields.get(COVERED)
    names = _listed(listed) if listed is not None else frozenset(fields)
    covered = {name: value for name, value in fields.items() if name in names - _BESIDE or name == EVENT}
    if not is_verified:
        _check(event, shop, covered, digest, secrets)
    rest = {name: value for name, value in fields.items() if name not in covered and name not in {*_BESIDE, SHOP}}
    return Vouched(covered, rest, digest.hex())


def _check(event: str, shop: str, covered: Fields, digest: bytes, secrets: Sequence[str]) -> None:
    texts = {name: _text(name, value) for name, value in covered.items()}
    # A name that is listed and has gone was signed with its value: it is missing in what is compared, which then differs.
    message = canonical({EVENT: event, **texts, SHOP: shop})
    if not is_signed([encoded(secret) for secret in secrets], message, [digest]):
        raise Unreadable(
            WRONG, f"sig was not made of {', '.join(sorted({EVENT, SHOP, *texts}))[:300]} as they stand here"
        )


def _listed(value: object) -> frozenset[str]:
    if not isinstance(value, str):
        raise Unreadable(MALFORMED, "signed must be names of fields with commas between")
    return frozenset(name.strip() for name in value.split(","))


def _text(name: str, value: object) -> str:
    """The value as it is signed: several of one name with commas between."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ",".join(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | Decimal):
        return str(value)
    raise Unreadable(MALFORMED, f"{name[:60]} is signed, and must be a text")


def _escaped(text: str) -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe="")
