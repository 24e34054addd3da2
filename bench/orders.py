"""Shops' orders as the messages they send, all different and all built before a clock runs."""

from datetime import UTC, datetime
from typing import Any

from demo.simulator import shopify
from demo.simulator.carts import single_item
from demo.simulator.checkouts import CHECKOUTS
from demo.simulator.messages import Json, Message, document, post

SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS1iZW5jaA=="
"""A secret in a form that every platform's scheme can read."""
SAMPLE_BYTES = 25_000
KEPT = ("discount_codes", "note_attributes", "customer")


def sample() -> Json:
    """Shopify's documented order, with as many lines more as make it 25 kB on the wire."""
    found = _documented()
    lines: list[Json] = found["line_items"]
    more = (SAMPLE_BYTES - len(post(found).body)) // (len(post(lines).body) // len(lines))
    added = [lines[each % len(lines)] | {"id": lines[0]["id"] + 1_000 + each} for each in range(more)]
    return found | {"line_items": lines + added}


def small_sample() -> Json:
    """The documented order with one line and without what is not read of it, about 3 kB: the size of a small shop's order elsewhere."""
    whole = _documented()
    kept = {name: value for name, value in whole.items() if not isinstance(value, dict | list) or name in KEPT}
    return kept | {
        "line_items": [{name: whole["line_items"][0][name] for name in ("id", "price", "quantity", "sku", "title")}]
    }


def shopify_order(order: dict[str, Any], number: int) -> Message:
    """`orders/create` of this order under another number, signed."""
    named = order | {"id": number, "name": f"#{number}", "order_number": number, "checkout_token": f"bench{number}"}
    return shopify.sign(shopify.message("orders/create", named, f"bench-{number}"), SECRET, datetime.now(UTC))


def first_report(checkout: str, number: int) -> Message:
    """What a checkout first sends of a paid order with the code BENCH10, signed."""
    at = datetime.now(UTC)
    found = CHECKOUTS[checkout]
    return found.sign(found.sale(single_item(number, 4_990), at, "BENCH10"), SECRET, at)


def _documented() -> Json:
    return document("shopify_order_rest_2024-04.json") | {"refunds": []}
