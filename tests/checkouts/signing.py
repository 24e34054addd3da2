"""Signing as each vendor documents it, written anew: what the service itself signs with must not be the judge of what it verifies."""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlencode

from app.platforms.kit.digests import QUERY
from app.platforms.kit.trial import TrialRequest
from app.platforms.registry import PLATFORMS
from app.platforms.signing import set_up, verify
from app.spool.records import HookLine

SECRET = "whsec_c2VjcmV0LW9mLWFsbC1jaGVja291dHM="
KEY = b"secret-of-all-checkouts"
"""The bytes behind SECRET, which Standard Webhooks signs with."""


def _digest(message: bytes, key: bytes = SECRET.encode()) -> bytes:
    return hmac.digest(key, message, "sha256")


def _base64(message: bytes) -> str:
    return base64.b64encode(_digest(message)).decode()


def _shopify(body: bytes, at: datetime) -> dict[str, str]:
    return {"X-Shopify-Hmac-Sha256": _base64(body)}


def _woocommerce(body: bytes, at: datetime) -> dict[str, str]:
    return {"X-WC-Webhook-Signature": _base64(body)}


def _stripe(body: bytes, at: datetime) -> dict[str, str]:
    unix_s = int(at.timestamp())
    return {"Stripe-Signature": f"t={unix_s},v1={_digest(f'{unix_s}.'.encode() + body).hex()}"}


def _generic(body: bytes, at: datetime) -> dict[str, str]:
    return {"X-Ariane-Signature": f"sha256={_digest(body).hex()}"}


def _standard(body: bytes, at: datetime) -> dict[str, str]:
    unix_s = int(at.timestamp())
    digest = _digest(f"msg_1.{unix_s}.".encode() + body, KEY)
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": "msg_1", "webhook-timestamp": str(unix_s), "webhook-signature": signature}


def _paddle(body: bytes, at: datetime) -> dict[str, str]:
    unix_s = int(at.timestamp())
    return {"Paddle-Signature": f"ts={unix_s};h1={_digest(f'{unix_s}:'.encode() + body).hex()}"}


def _prestashop(body: bytes, at: datetime) -> dict[str, str]:
    unix_s = str(int(at.timestamp()))
    digest = _digest(f"{unix_s}.".encode() + body).hex()
    return {"X-Ariane-Timestamp": unix_s, "X-Ariane-Signature": f"sha256={digest}"}


def _unsigned(body: bytes, at: datetime) -> dict[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Checkout:
    """One way of connecting a shop. signature: the headers that prove a body, sent at a time."""

    name: str
    platform: str
    signature: Callable[[bytes, datetime], dict[str, str]]
    settings: Mapping[str, object] = field(default_factory=dict)

    def sends(
        self, body: bytes, at: datetime, headers: Mapping[str, str] | None = None, *, query: str | None = None
    ) -> TrialRequest:
        """One request, rightly signed. query: of a postback; its token is added, and without a body it is a GET."""
        told = dict(headers or {})
        if query is None:
            return TrialRequest(body, {**told, **self.signature(body, at)})
        token = urlencode({TOKENS[self.name]: SECRET})
        return TrialRequest(body, told, "POST" if body else "GET", f"{query}&{token}" if query else token)

    def posts(self, document: object, at: datetime, headers: Mapping[str, str] | None = None) -> TrialRequest:
        """A body of JSON."""
        return self.sends(json.dumps(document).encode(), at, {"Content-Type": "application/json", **(headers or {})})

    def taken(self, sent: TrialRequest, *, line_id: str, brand_id: str, source_id: str, at: datetime) -> HookLine:
        """The line of the spool that the door makes of it: its verdict on the signature, the headers that are kept, no token."""
        kept = set_up(self.platform, json.dumps(dict(self.settings))).kept_headers
        headers = {name.lower(): text for name, text in sent.headers.items() if name.lower() in kept}
        query, headers, body = PLATFORMS[self.platform].conceal(sent.query, headers, sent.body)
        reason = verify(
            self.platform,
            body=body,
            headers={**headers, QUERY: query},
            secrets=[SECRET],
            now_s=at.timestamp(),
            settings=self.settings,
        )
        return HookLine(
            id=line_id,
            brand_id=brand_id,
            source_id=source_id,
            platform=self.platform,
            shop="main",
            signed=reason is None,
            reason=reason or "",
            headers=headers,
            query=query,
            body=body,
        )


CHECKOUTS: Mapping[str, Checkout] = {
    each.name: each
    for each in (
        Checkout("shopify", "shopify", _shopify),
        Checkout("woocommerce", "woocommerce", _woocommerce),
        Checkout("stripe", "stripe", _stripe),
        Checkout("generic", "generic", _generic),
        Checkout("standard", "generic", _standard),
        Checkout("paddle", "generic", _paddle, {"preset": "paddle"}),
        Checkout("prestashop", "generic", _prestashop, {"preset": "prestashop"}),
        Checkout("postback", "postback", _unsigned),
        Checkout("awin", "postback", _unsigned, {"preset": "awin"}),
        Checkout("everflow", "postback", _unsigned, {"preset": "everflow"}),
    )
}
TOKENS = {"postback": "token", "awin": "token", "everflow": "verification_token"}
