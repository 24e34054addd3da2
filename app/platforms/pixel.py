"""The pixel's query string and the beacon's body: what the thank-you page reports about the order, and which click the visitor landed with.

Anybody who has seen the page can send this, unless the shop's server signed it (`pixel_signature`). So it names one order and never joins two (`refs`
has one name), and its amount is only `estimated` unless tax and shipping are given too.

Fields: `event` (or `kind`; default sale), `order_id` (or one of `PROOFS` alone), `amount` (paid, a decimal string), `tax`, `shipping`, `currency`,
`code` (several by comma or by repetition), `click_id`, `visitor_id`, `customer` (an e-mail or an id; also `email`, `customer_id`),
`occurred_at`, `test`. Empty is the same as missing: templates print empty values.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from urllib.parse import parse_qsl, quote

from msgspec.structs import replace

from app.domain import money
from app.domain.codes import normalise
from app.domain.orders import KIND, UNPAID_KINDS, WEAK, Context, Customer, Landing, OrderReport, Parsed, order_ref
from app.domain.placeholders import read_id
from app.domain.strict_json import Unreadable, read_json, read_text, read_time
from app.platforms.kit.vendor_json import amount_in, distinct, has_rounded, read_field, read_object
from app.platforms.pixel_signature import SIGNATURE, open_signed

FIELDS_MAX = 200
LISTED = frozenset({"code", "codes"})
WEAK_KEY_CHARACTERS = 12
NETWORK = "network"
"""The sender's truncated address, among the headers of a hit that may need it."""
_UNPAID = re.compile(b"|".join(kind.encode() for kind in sorted(UNPAID_KINDS)), re.IGNORECASE)
_NAMED = re.compile(rb"order_id[\"\s]*[=:][\"\s]*[^&\"\s,}]")
PROOFS = ("checkout_token", "order_key", "session_id")
"""Names of an order that only its own thank-you page knows: Shopify's, WooCommerce's (PrestaShop's) and Stripe's."""
LAND = "land"
# Left as they were pasted, %%DATE%% and %date% would be read as escapes. No query that was escaped has such values.
_LEFT_BARE = re.compile(r"(?<==)%%?[A-Za-z_]\w*%%?(?=&|$)", re.ASCII)
_TRUE, _FALSE = frozenset({"1", "true", "yes"}), frozenset({"0", "false", "no"})

Fields = Mapping[str, object]


def parse(body: bytes, content_type: str, context: Context, network: str = "") -> Parsed:
    """Reports or a landing from one hit. Never raises: what cannot be used is `rejected` with a reason that names the field.

    network: the sender's truncated address, or the token that is kept of it; '' where it is not known.
    """
    event = ""
    try:
        fields = read_fields(body, content_type)
        if "too_large" in fields:
            # The door keeps this in place of a query over its limit: half a report could hold a wrong amount.
            raise Unreadable("too_large", f"the query had {_text(fields, 'too_large')} bytes")
        if "over_limit" in fields:
            # The door's note of what it did not record (tracking/pixel_limits.py).
            raise Unreadable(
                "over_limit", f"{_text(fields, 'over_limit')} of this key, within a minute, were not recorded"
            )
        event = _event(fields)
        if event == LAND:
            return _land(fields, context)
        if SIGNATURE in fields:
            return _signed(fields, event, context)
        report, notes = _read_order(fields, event, context, network)
    except Unreadable as error:
        return Parsed(topic=event, rejected=error.reason, detail=error.detail)
    return Parsed(topic=event, reports=(report,), notes=notes)


def read_fields(body: bytes, content_type: str) -> Fields:
    """JSON under any content type (a browser may only send text/plain without a preflight), else urlencoded as in a query."""
    stripped = body.lstrip()
    if stripped[:1] in {b"{", b"["} or content_type.startswith("application/json"):
        found = read_object(body, "not_an_event")
        return {name: value for name, value in found.items() if value not in ("", None)}
    try:
        # Bytes that are not UTF-8 become half surrogates, which every field refuses by name.
        text = _LEFT_BARE.sub(lambda left: quote(left[0]), body.strip().decode("ascii", "surrogateescape"))
        pairs = parse_qsl(text, max_num_fields=FIELDS_MAX, errors="surrogateescape")
    except ValueError:
        raise Unreadable("too_many_fields", f"more than {FIELDS_MAX} fields") from None
    fields: dict[str, object] = {}
    for name, value in pairs:
        if name in LISTED:
            fields[name] = [*_listed(fields.get(name)), value]
        elif fields.setdefault(name, value) != value:
            raise Unreadable("duplicate_keys", f"{name[:60]!a} is given twice")
    for name in (*LISTED, "customer"):
        fields.update(_unwrapped(name, fields.get(name)))
    if not fields:
        raise Unreadable("not_an_event", "there are no fields")
    return fields


def _unwrapped(name: str, value: object) -> Fields:
    """A list or object that is JSON in a query: /a.js sends it by the image when nothing else works."""
    text = value[0] if isinstance(value, list) and len(value) == 1 else value
    if not isinstance(text, str) or text[:1] not in {"[", "{"}:
        return {}
    try:
        return {name: read_json(text.encode("utf-8", "surrogatepass"))}
    except Unreadable:
        return {}


def _event(fields: Fields) -> str:
    event = (_text(fields, "event") or _text(fields, "kind") or "sale").lower()
    if not KIND.fullmatch(event):
        raise Unreadable("invalid_event", "event must be a word such as sale, lead or land: a-z, 0-9 and _, at most 40")
    return event


def _signed(fields: Fields, event: str, context: Context) -> Parsed:
    """A hit of the signed pixel: one report of what its signature covers, and one, unsigned, of what else it holds (the script adds click and visitor).

    The signature is a proof in both: whoever could add to the hit has seen the page.
    """
    opened = open_signed(fields, event, context.shop, context.pixel_secrets, is_verified=context.is_verified)
    names = {name: opened.covered[name] for name in ("order_id", *PROOFS) if name in opened.covered}
    if not names:
        raise Unreadable("incomplete_signature", "sig covers no order: order_id must be among the signed fields")
    vouched, notes = _read_order(opened.covered, event, context)
    proof = f"sig:{opened.signature}"
    vouched = replace(vouched, proofs=(*vouched.proofs, proof))
    rest: tuple[OrderReport, ...] = ()
    added = opened.rest.keys() - {"order_id", "kind", *PROOFS}
    if added:
        try:
            unsigned, _ = _read_order({**{name: opened.rest[name] for name in added}, **names}, event, context)
            rest = (replace(unsigned, proofs=(*unsigned.proofs, proof)),)
            notes = (*notes, f"not signed: {', '.join(sorted(added))}")
        except Unreadable as error:
            # What the shop vouches for must not be lost for what somebody has added to it.
            notes = (*notes, f"left out, and not signed: {error.detail}")
    return Parsed(topic=event, reports=rest, vouched=(vouched,), notes=notes)


def _land(fields: Fields, context: Context) -> Parsed:
    click_id, visitor_id = _id(fields, "click_id"), _id(fields, "visitor_id")
    if not click_id:
        return Parsed(topic=LAND, rejected="missing_click_id", detail="click_id is required for land")
    if not visitor_id:
        # Without consent the page has no visitor id, and there is nothing to remember.
        return Parsed(topic=LAND, ignored="no_visitor")
    return Parsed(topic=LAND, landings=(Landing(visitor_id, click_id, context.received_at),))


def _read_order(fields: Fields, event: str, context: Context, network: str = "") -> tuple[OrderReport, tuple[str, ...]]:
    notes: list[str] = []
    click_id, visitor_id = _id(fields, "click_id"), _id(fields, "visitor_id")
    customer = _customer(fields, context)
    codes = _codes(fields)
    order_id = _id(fields, "order_id")
    proofs = tuple(proof for name in PROOFS if (proof := _id(fields, name)))
    if order_id or proofs:
        ref = order_ref(order_id or proofs[0])
    else:
        sender = click_id or visitor_id or customer.key
        if sender is None and event in UNPAID_KINDS:
            sender = _weak_sender(codes, network, context)
        ref = _weak_ref(event, sender, context)
        notes.append("weak_order_id")
    currency = _currency(fields, context)
    amount, tax, shipping = (_amount(fields, name, currency, context, notes) for name in ("amount", "tax", "shipping"))
    net = None if amount is None else amount - (tax or 0) - (shipping or 0)
    if net is not None and net < 0:
        raise Unreadable("invalid_amount", "amount is less than tax and shipping")
    has_money = (net, tax, shipping, fields.get("currency")) != (None, None, None, None)
    report = OrderReport(
        shop=context.shop,
        kind=event,
        refs=(ref,),
        order_id=order_id,
        occurred_at=_occurred_at(fields),
        currency=currency if has_money else None,
        tax_minor=tax,
        shipping_minor=shipping,
        net_minor=net,
        estimated=net is not None and (tax is None or shipping is None),
        codes=codes,
        click_ids=() if click_id is None else (click_id,),
        visitor_id=visitor_id,
        customer=customer,
        test=_flag(fields, "test"),
        proofs=proofs,
        rounded=has_rounded(notes),
    )
    return report, tuple(notes)


def _weak_ref(event: str, sender: str | None, context: Context) -> str:
    """A name for an event without an order id: one visitor, event and minute make one order, so that a reload counts once."""
    if sender is None:
        raise Unreadable(
            "missing_order_id",
            "order_id is required when neither click_id, visitor_id nor customer is given (nor, for a lead, signup or install, a code)",
        )
    return f"{WEAK}{sender}:{event}:{context.received_at:%Y-%m-%dT%H:%MZ}"


def _weak_sender(codes: Sequence[str], network: str, context: Context) -> str | None:
    """Who sends a lead that names nobody: somebody with this code in this network, which is not kept in clear."""
    code = next(filter(None, map(normalise, codes)), None)
    if code is None:
        return None
    key = context.customer_key(network, None) or ""
    return f"{code}@{key[:WEAK_KEY_CHARACTERS]}"


def may_be_weak(body: bytes) -> bool:
    """Whether a hit may be a lead that is named by its code and network: a cheap guess, so that the network is kept of no other."""
    return _UNPAID.search(body) is not None and b"code" in body and not _NAMED.search(body)


def _customer(fields: Fields, context: Context) -> Customer:
    given = fields.get("customer")
    if isinstance(given, dict):
        is_new = given.get("is_new")
        key = context.customer_key(_id(given, "id", "customer."), _id(given, "email", "customer."))
        return Customer(key=key, is_new=is_new if isinstance(is_new, bool) else None)
    text, email, customer_id = (_id(fields, name) for name in ("customer", "email", "customer_id"))
    if text and "@" in text:
        email = email or text
    else:
        customer_id = customer_id or text
    return Customer(key=context.customer_key(customer_id, email))


def _codes(fields: Fields) -> tuple[str, ...]:
    codes: list[str] = []
    for name in sorted(LISTED):
        for value in _listed(fields.get(name)):
            if not isinstance(value, str | int) or isinstance(value, bool):
                raise Unreadable("invalid_text", f"{name} must be a text")
            codes += [part for part in str(value).split(",") if part.strip()]
    return distinct(read_field("code", code, read_id, "invalid_text") for code in codes)


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _currency(fields: Fields, context: Context) -> str:
    text = _text(fields, "currency")
    return context.currency if text is None else _known(text, context)


def _known(text: str, context: Context) -> str:
    return read_field(
        "currency", text, lambda given: money.read_currency(given, context.currencies), "unknown_currency"
    )


def _amount(fields: Fields, name: str, currency: str, context: Context, notes: list[str]) -> int | None:
    value = fields.get(name)
    negative = "be an amount such as 49.90, not negative"
    if value is None:
        return None
    return amount_in(name, value, currency, negative=negative, notes=notes, declared=context.currencies)


def _occurred_at(fields: Fields) -> datetime | None:
    value = fields.get("occurred_at")
    return None if value is None else read_field("occurred_at", value, read_time, "invalid_time")


def _flag(fields: Fields, name: str) -> bool:
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return value or False
    text = str(value).strip().lower()
    if text not in _TRUE | _FALSE:
        raise Unreadable("invalid_flag", f"{name} must be 1 or 0")
    return text in _TRUE


def _text(fields: Fields, name: str, prefix: str = "", read: Callable[[object], str] = read_text) -> str | None:
    """The field as a text; None when it is missing, empty or blank. Unreadable naming the field otherwise."""
    value = fields.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    return read_field(prefix + name, value, read, "invalid_text")


def _id(fields: Fields, name: str, prefix: str = "") -> str | None:
    """The field as a text that names something, which a template variable does not. As `_text` otherwise."""
    return _text(fields, name, prefix, read_id)
