"""A made-up order, for trying a connection: what a platform would send about it, signed as the platform signs (app/platforms/*/trial.py).

The messages of a vendor stand in the `trial.json` of its folder, as the vendor writes them; values are put in by `kit.templates.fill`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from app.domain import money


@dataclass(frozen=True, slots=True)
class TrialOrder:
    """One order and one refund of it. Amounts in minor units of `currency`, before tax and shipping.

    number: unique for the brand; the platform's ids are made from it. code, click_id: None for an order that names none. test: marked in the
    platform's own way, so that the order is kept and never counted. sample, sample_headers: a message of the checkout's own, whose amounts stay as
    they are; None where the message is made up.
    """

    number: int
    currency: str
    net_minor: int
    refund_minor: int
    ordered_at: datetime
    refunded_at: datetime
    code: str | None = None
    click_id: str | None = None
    customer_email: str | None = None
    test: bool = True
    currencies: money.Decimals = field(default_factory=dict)
    sample: Any = None
    sample_headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def decimals(self) -> int:
        """Decimals of its currency."""
        return money.exponent(self.currency, self.currencies)

    def major(self, minor: int) -> str:
        """An amount in major units with all decimals of the currency."""
        return f"{money.to_decimal(minor, self.currency, self.currencies):f}"


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """One request to `/in/{token}`, as the platform makes it. query: without the question mark."""

    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    query: str = ""


@dataclass(frozen=True, slots=True)
class TrialMessages:
    """What a platform sends about a made-up order, in this sequence. order_id: a name under which the order can be looked up afterwards."""

    order_id: str
    order: tuple[TrialRequest, ...]
    refund: tuple[TrialRequest, ...]


def read_messages(module: str) -> dict[str, Any]:
    """The messages beside the module of this path."""
    messages: dict[str, Any] = json.loads(Path(module).with_suffix(".json").read_text("utf-8"))
    return messages


def write_json(message: object) -> bytes:
    """A message as compact JSON."""
    return json.dumps(message, separators=(",", ":")).encode()
