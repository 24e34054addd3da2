"""The simulated checkouts under one secret, and the spool's records of what they send."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.platforms.kit.digests import QUERY
from app.platforms.registry import PLATFORMS
from app.platforms.signing import kept_headers, verify
from app.spool.records import HookLine
from demo.simulator import checkouts, orders
from demo.simulator.messages import Message

SECRET = "whsec_c2VjcmV0LW9mLWFsbC1jaGVja291dHM="


@dataclass(frozen=True, slots=True)
class Checkout(orders.Checkout):
    """A simulated checkout whose secret is SECRET."""

    def signed(self, message: Message, at: datetime) -> Message:
        """The message as it is sent at this time."""
        return self.sign(message, SECRET, at)

    def sends(
        self, body: bytes, at: datetime, headers: Mapping[str, str] | None = None, *, query: str | None = None
    ) -> Message:
        """One signed request with these bytes. query: of a postback, which without a body is a GET."""
        method = "POST" if body or query is None else "GET"
        return self.signed(Message(body, dict(headers or {}), method, query or ""), at)

    def spooled(self, sent: Message, *, line_id: str, brand_id: str, source_id: str, at: datetime) -> HookLine:
        """The record that the webhook endpoint writes to the spool: its verdict on the signature, the headers that are kept, no token."""
        kept = kept_headers(self.platform, self.settings)
        headers = {name.lower(): text for name, text in sent.headers.items() if name.lower() in kept}
        query, headers, body = PLATFORMS[self.platform].conceal(sent.query, headers, sent.body, self.settings)
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
    name: Checkout(name, each.platform, each.sign, each.sale, each.settings)
    for name, each in checkouts.CHECKOUTS.items()
}
