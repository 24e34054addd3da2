"""An order that never was, for trying a connection: what a platform would send of it, signed as it signs.

Each platform that can be connected makes its own messages (app/platforms/*/trial.py); the trial of a source and the demo send them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class TrialOrder:
    """One order and one refund of it. Amounts in minor units of `currency`, before tax and shipping.

    number: unique for the brand; the platform's ids are made of it. code, click_id: None for an order that names none. test: said in the
    platform's own way, so that the order is kept and never counted; the demo, whose brand is its own, sends real ones.
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


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """One request to `/in/{token}`, as the platform makes it. query: without the question mark."""

    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    query: str = ""


@dataclass(frozen=True, slots=True)
class TrialMessages:
    """What a platform sends of a rehearsal, in its order. order_id: the name by which the order can be asked for afterwards."""

    order_id: str
    order: tuple[TrialRequest, ...]
    refund: tuple[TrialRequest, ...]
