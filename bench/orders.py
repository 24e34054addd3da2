"""Shops' orders as the messages they send, all different and all made before a clock runs."""

import base64
import hmac
import json
from datetime import timedelta
from importlib import resources
from typing import Any

from app import clock
from app.platforms.kit.trial import TrialOrder, TrialRequest
from app.platforms.registry import PLATFORMS

SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS1iZW5jaA=="
"""Readable for every platform's scheme."""
SAMPLE_BYTES = 25_000
KEPT = ("discount_codes", "note_attributes", "customer")


def sample() -> dict[str, Any]:
    """Shopify's order as it is, with so many lines more that it comes to 25 kB on the wire."""
    found = _as_it_is()
    lines: list[dict[str, Any]] = found["line_items"]
    more = (SAMPLE_BYTES - len(_wire(found))) // (len(_wire(lines)) // len(lines))
    added = [lines[each % len(lines)] | {"id": lines[0]["id"] + 1_000 + each} for each in range(more)]
    return found | {"line_items": lines + added}


def small_sample() -> dict[str, Any]:
    """The same with one line and without what is not read of it, about 3 kB: what a small shop's order comes to elsewhere."""
    whole = _as_it_is()
    kept = {name: value for name, value in whole.items() if not isinstance(value, dict | list) or name in KEPT}
    return kept | {
        "line_items": [{name: whole["line_items"][0][name] for name in ("id", "price", "quantity", "sku", "title")}]
    }


def shopify(order: dict[str, Any], number: int) -> TrialRequest:
    """`orders/create` of this order under another number, signed."""
    named = order | {"id": number, "name": f"#{number}", "order_number": number, "checkout_token": f"bench{number}"}
    body = _wire(named)
    headers = {
        "content-type": "application/json",
        "x-shopify-topic": "orders/create",
        "x-shopify-shop-domain": "bench.myshopify.com",
        "x-shopify-api-version": "2026-07",
        "x-shopify-hmac-sha256": base64.b64encode(hmac.digest(SECRET.encode(), body, "sha256")).decode(),
    }
    return TrialRequest(body=body, headers=headers)


def _as_it_is() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        resources.files("demo.simulator").joinpath("documents", "shopify_order_rest_2024-04.json").read_text()
    )
    return found | {"refunds": []}


def _wire(document: object) -> bytes:
    # In UTF-8, as shops write, and not in the escapes that Python prefers.
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def rehearsed(platform: str, settings: dict[str, object], number: int) -> list[TrialRequest]:
    """What a platform sends of one real order with the code BENCH10."""
    now = clock.now()
    plan = TrialOrder(
        number=number,
        currency="EUR",
        net_minor=4_990,
        refund_minor=1_000,
        ordered_at=now - timedelta(seconds=2),
        refunded_at=now - timedelta(seconds=1),
        code="BENCH10",
        test=False,
    )
    messages = PLATFORMS[platform].trial_messages(plan, SECRET, settings)
    assert messages is not None
    return list(messages.order)
