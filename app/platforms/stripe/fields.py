"""Reading the fields that Stripe's objects share: ids that may be expanded, seconds, metadata, discounts in every shape the API has had."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from app.domain.ids import EPOCH
from app.domain.orders import Context, order_ref, read_click
from app.domain.placeholders import variable_in
from app.domain.strict_json import EARLIEST, LATEST
from app.platforms.kit.vendor_json import Json, click_ids_in, distinct, named, nested, note_unfilled, objects, text_of

DISCOUNTS_MAX = 100
ORDER_NAMES = frozenset({"order_id", "order_number"})
CODE_NAMES = frozenset({"code", "codes", "promo_code", "coupon_code", "discount_code"})
DUB_PREFIX = "dub_id_"
"""Prefix of a click id in `client_reference_id` at Dub's customers; a shop that came from there need not change its checkout."""


def id_of(value: object) -> str | None:
    """An id, also of the object that stands in its place when the sender expanded it."""
    return text_of(value.get("id") if isinstance(value, dict) else value)


def seconds_of(value: object) -> datetime | None:
    """A Unix time in seconds; None for anything else, and for a time before or after any order."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**11:
        return None
    moment = EPOCH + timedelta(seconds=value)
    return moment if EARLIEST <= moment < LATEST else None


def names(*ids: object) -> tuple[str, ...]:
    """The ids that are there, each once, the surest first."""
    # Not `distinct`: an invoice may name more payments than an order has codes.
    return tuple(dict.fromkeys(found for found in map(id_of, ids) if found is not None))


# ── Metadata ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def metadata_of(*things: object) -> list[tuple[object, object]]:
    """The pairs of every metadata given."""
    return [pair for thing in things if isinstance(thing, dict) for pair in thing.items()]


def clicks_of(metadata: Iterable[tuple[object, object]], context: Context, reference: object = None) -> tuple[str, ...]:
    """The click ids in metadata, and in `client_reference_id` where that is one.

    Shops put all sorts of things there (a cart, a user), so it counts only when it is recognisably a click: by our `clk_`, by being an id of ours
    in any spelling, or by a prefix: the brand's own name of the click id, or Dub's.
    """
    found = list(click_ids_in(metadata, (), context))
    text = text_of(reference)
    if text is not None:
        for prefix in (DUB_PREFIX, f"{context.click_param}_", "ariane_"):
            if text.casefold().startswith(prefix.casefold()) and len(text) > len(prefix):
                found.append(text[len(prefix) :])
                break
        else:
            if text.casefold().startswith("clk_") or read_click(text) is not None:
                found.append(text)
    return distinct(each for each in found if variable_in(each) is None)


def unfilled_of(metadata: Iterable[tuple[object, object]], context: Context) -> list[str]:
    """Notes about the metadata in which a template variable was left for a click, a visitor, a code or an order's number."""
    notes: list[str] = []
    note_unfilled(metadata, context, notes, ORDER_NAMES | CODE_NAMES)
    return notes


def order_of(metadata: Iterable[tuple[object, object]]) -> str | None:
    """The shop's own number of the order in metadata, in the form in which names of orders are compared."""
    return next(map(order_ref, named(metadata, ORDER_NAMES)), None)


def typed_codes(metadata: Iterable[tuple[object, object]]) -> Iterator[str]:
    """Codes in metadata, several with commas between."""
    for value in named(metadata, CODE_NAMES):
        yield from (code for part in value.split(",") if (code := part.strip()))


# ── Discounts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def discounts_of(thing: Json) -> list[Json]:
    """The discounts of an order, wherever its object holds them: `discounts`, the older `discount`, the breakdown of its totals.

    Discounts that are ids (`di_…`) do not name their code, and stand in the first two only where the sender did not expand them.
    """
    found = objects(thing.get("discounts"), DISCOUNTS_MAX, "discounts")
    alone = thing.get("discount")
    found += [alone] if isinstance(alone, dict) else []
    broken_down = objects(
        nested(thing, "total_details", "breakdown", "discounts"), DISCOUNTS_MAX, "total_details.breakdown.discounts"
    )
    shared = objects(thing.get("total_discount_amounts"), DISCOUNTS_MAX, "total_discount_amounts")
    return found + [inner for item in (*broken_down, *shared) if isinstance(inner := item.get("discount"), dict)]


def codes_of(thing: Json, metadata: Iterable[tuple[object, object]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Codes as they were typed, and Stripe's ids of codes: `promo_…` of a promotion code, that of its coupon where there was no code.

    A webhook carries the id of the promotion code alone; expanded, it has the code as well, and its coupon in `coupon` or `promotion`.
    """
    typed: list[str | None] = list(typed_codes(metadata))
    ids: list[str | None] = []
    for discount in discounts_of(thing):
        promotion = discount.get("promotion_code")
        if isinstance(promotion, dict):
            typed.append(text_of(promotion.get("code")))
        coupon = discount.get("coupon") or nested(discount, "source", "coupon")
        ids.append(id_of(promotion) or id_of(coupon))
    return distinct(typed), distinct(ids)
