"""Reads a message through a mapping: from any body to an order or a refund. Pure, and never raises.

A field without a value is left out. A value that cannot be used (a word for an amount, a list for a name) rejects the message with the place, what
stood there and what was expected: half an order is not recorded, and the message can be read again through a corrected mapping.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from app.domain import money
from app.domain.bodies import CANCELLED, cancelled
from app.domain.orders import (
    CODES_MAX,
    FIRST,
    KIND,
    RENEWAL,
    Context,
    Customer,
    OrderLine,
    OrderReport,
    Parsed,
    RefundReport,
    order_ref,
    version_at,
)
from app.domain.placeholders import read_id
from app.domain.strict_json import Unreadable, read_json, read_text
from app.platforms.generic.mapping import (
    GIVEN_BACK,
    Amounts,
    LineFields,
    RefundFields,
    Rule,
    given_fields,
    places,
    refund_lists,
)
from app.platforms.generic.mapping import Mapping as Table
from app.platforms.generic.values import Reader, read_as, whole
from app.platforms.kit.vendor_json import ROUNDED, clicks_in_page

FORM = "application/x-www-form-urlencoded"
FORM_FIELDS_MAX = 1_000
MESSAGES_MAX = 100
"""Most orders and refunds that one message may hold."""
QUANTITY_MAX = 1_000_000
_ADDRESS_MARKS = frozenset("=/?")


class Mapped(msgspec.Struct, frozen=True):
    """What was read, and for the author of the mapping: by which rule, and which of its fields have no value, and why."""

    parsed: Parsed
    rule: int | None = None
    unfound: tuple[tuple[str, str], ...] = ()


def read_mapped(table: Table, body: bytes, headers: Mapping[str, str], context: Context) -> Mapped:
    """Reports from one message; `headers` with lower-case names."""
    topic, number = "", None
    unfound: list[tuple[str, str]] = []
    try:
        top = Reader(table, _document(body, headers), headers, unfound, declared=context.currencies)
        if table.topic is not UNSET:
            topic = top.text("topic", table.topic) or ""
        unfound.clear()
        messages = [top] if table.each is UNSET else top.elements("each", table.each)
        if len(messages) > MESSAGES_MAX:
            raise Unreadable("too_many", f"each: {table.each} finds more than {MESSAGES_MAX} values")
        reports: list[OrderReport] = []
        ignored = Parsed(topic=topic, ignored="no_message", detail=top.need("each").detail)
        for message in messages:
            found = next((index for index, rule in enumerate(table.rules) if message.holds(rule.when)), None)
            if found is None:
                ignored = Parsed(topic=topic, ignored="no_rule", detail=_why_no_rule(message, table))
            elif table.rules[found].read == "ignored":
                number, ignored = (
                    (number, ignored) if reports else (found, Parsed(topic=topic, ignored="ignored_by_rule"))
                )
            else:
                number = found
                read = _read_order if table.rules[found].read == "order" else _read_refund
                reports.append(read(message, table.rules[found], context))
    except Unreadable as error:
        return Mapped(Parsed(topic=topic, rejected=error.reason, detail=error.detail), number, tuple(unfound))
    if not reports:
        return Mapped(ignored, number)
    notes = tuple(f"{ROUNDED}: {each} has more decimals than its currency" for each in dict.fromkeys(top.rounded))
    return Mapped(Parsed(topic=topic, reports=tuple(reports), notes=notes), number, tuple(unfound))


def _document(body: bytes, headers: Mapping[str, str]) -> object:
    if headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        return read_json(body)
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX, errors="strict", strict_parsing=True
        )
    except ValueError:
        raise Unreadable("not_a_form", "the body is not the form that its Content-Type says") from None
    document: dict[str, object] = {}
    for name, text in pairs:
        # The values of a repeated name become a list.
        before = document.get(name)
        document[name] = text if before is None else [*(before if isinstance(before, list) else [before]), text]
    return document


def _why_no_rule(top: Reader, table: Table) -> str:
    conditions = dict.fromkeys(place for rule in table.rules for each in rule.when for place in places(each))
    gaps = "; ".join(top.gap(place) for place in list(conditions)[:5])
    return f"no rule of the mapping is about this message: {gaps}"


# ── Money ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Money(NamedTuple):
    items: int | None
    discount: int | None
    tax: int | None
    shipping: int | None
    net: int | None
    estimated: bool


def _money(reader: Reader, fields: Amounts, currency: str) -> _Money:
    def of(name: str) -> int | None:
        return reader.amount(name, getattr(fields, name), currency)

    items, discount, tax, shipping, net, total = map(of, ("items", "discount", "tax", "shipping", "net", "total"))
    estimated = False
    if net is None and items is not None:
        net = items - (discount or 0)
        if net < 0:
            raise Unreadable(
                "wrong_value", f"discount is {discount}, more than items, which is {items} (in minor units)"
            )
    elif net is None and total is not None:
        net = total - (tax or 0) - (shipping or 0)
        estimated = tax is None or shipping is None
        if net < 0:
            raise Unreadable("wrong_value", f"tax and shipping are more than total, which is {total} (in minor units)")
    return _Money(items, discount, tax, shipping, net, estimated)


def _currency(reader: Reader, rule: Rule, context: Context) -> str:
    if rule.currency is UNSET:
        return context.currency
    found = reader.find("currency", rule.currency)
    if not found:
        # Not the brand's currency: to guess the currency would be to guess the amounts.
        raise reader.need("currency")

    def read(value: object) -> str:
        return money.read_currency(read_text(value, characters_max=10), context.currencies)

    return str(read_as(found[0], read, "a currency"))


def _lines(reader: Reader, fields: Any, currency: str) -> tuple[OrderLine, ...]:
    if not isinstance(fields, LineFields):
        return ()
    lines = []
    for number, element in enumerate(reader.elements("lines", fields.each), 1):
        quantity = element.find("quantity", fields.quantity)
        lines.append(
            OrderLine(
                id=element.text("id", fields.id) or str(number),
                quantity=read_as(quantity[0], _quantity, "a number of pieces") if quantity else 1,
                net_minor=_money(element, fields, currency).net,
                sku=element.text("sku", fields.sku),
                name=element.text("name", fields.name),
            )
        )
    return tuple(lines)


def _check_named(reader: Reader, fields: Any) -> None:
    """Raises Unreadable unless each of the lines says its id: a place in a list of what came back is no line of the order."""
    for element in reader.elements("lines", fields.each):
        if not element.text("id", fields.id):
            raise element.need("id")


def _quantity(value: object) -> int:
    quantity = abs(whole(value))
    if quantity > QUANTITY_MAX:
        raise ValueError(f"is more than {QUANTITY_MAX}")
    return quantity


# ── Orders and refunds ───────────────────────────────────────────────────────────────────────────────────────────────


def _refs(reader: Reader, rule: Rule) -> tuple[str, tuple[str, ...]]:
    order_id = reader.id("order_id", rule.order_id)
    if order_id is None:
        raise reader.need("order_id")
    names = [order_id, *reader.ids("refs", rule.refs)]
    return order_id, tuple(dict.fromkeys(map(order_ref, names)))[:CODES_MAX]


def _kind(reader: Reader, rule: Rule) -> str:
    found = reader.find("kind", rule.kind)
    return read_as(found[0], _kind_word, "a word such as sale or lead") if found else "sale"


def _kind_word(value: object) -> str:
    text = read_text(value)
    if not KIND.fullmatch(text):
        raise ValueError("a-z, 0-9 and _, at most 40")
    return text


def _read_order(reader: Reader, rule: Rule, context: Context) -> OrderReport:
    order_id, refs = _refs(reader, rule)
    currency = _currency(reader, rule, context)
    before = len(reader.rounded)
    amounts = _money(reader, rule, currency)
    rounded = len(reader.rounded) > before
    has_money = any(each is not None for each in amounts[:-1])
    ordered_at = reader.moment("occurred_at", rule.occurred_at)
    changed_at = reader.moment("updated_at", rule.updated_at)
    return OrderReport(
        shop=context.shop,
        kind=_kind(reader, rule),
        refs=refs,
        order_id=order_id,
        occurred_at=ordered_at,
        version=version_at(changed_at),
        currency=currency if has_money or rule.currency is not UNSET else None,
        items_minor=amounts.items,
        discount_minor=amounts.discount,
        tax_minor=amounts.tax,
        shipping_tax_minor=reader.amount("shipping_tax", rule.shipping_tax, currency),
        shipping_minor=amounts.shipping,
        net_minor=amounts.net,
        estimated=amounts.estimated,
        rounded=rounded,
        paid=reader.flag("paid", rule.paid),
        codes=tuple(dict.fromkeys(reader.ids("codes", rule.codes)))[:CODES_MAX],
        click_ids=_click_ids(reader, rule.click_id, context),
        visitor_id=reader.id("visitor_id", rule.visitor_id),
        customer=_customer(reader, rule, context),
        lines=_lines(reader, rule.lines, currency),
        refunds=(
            *_refunds(reader, rule, changed_at, currency),
            *filter(None, [cancelled(reader.flag("cancelled", rule.cancelled), ordered_at, changed_at, currency)]),
        ),
        test=reader.flag("test", rule.test) or False,
        origin=_origin(reader, rule),
        system=_system(reader),
        proofs=tuple(dict.fromkeys(reader.ids("proofs", rule.proofs)))[:CODES_MAX],
        lists_codes=any(isinstance(each.value, list) for each in reader.find("lists_codes", rule.lists_codes)),
    )


def _origin(reader: Reader, rule: Rule) -> str | None:
    if rule.origin is UNSET:
        return None
    conditions = ((RENEWAL, rule.origin.renewal), (FIRST, rule.origin.first))
    return next((origin for origin, each in conditions if each is not UNSET and reader.holds(each)), None)


def _system(reader: Reader) -> str | None:
    return None if reader.table.system is UNSET else reader.table.system


def _click_ids(reader: Reader, field: Any, context: Context) -> tuple[str, ...]:
    """The ids, also from within the address of a landing page. An address without one names no click: read as an id, it would contradict the
    click that the thank-you page reports. In other parts of an address anything may stand, a variable of an advertisement as well."""
    ids: dict[str, None] = {}
    for each in reader.find("click_id", field):
        text = read_as(each, read_text, "a text")
        is_address = bool(_ADDRESS_MARKS & set(text))
        found = clicks_in_page(text, context.click_param) if is_address else [read_as(each, read_id, "a text")]
        ids |= dict.fromkeys(found)
    return tuple(ids)[:CODES_MAX]


def _customer(reader: Reader, rule: Rule, context: Context) -> Customer:
    number, email = reader.id("customer_id", rule.customer_id), reader.id("customer_email", rule.customer_email)
    return Customer(key=context.customer_key(number, email), is_new=reader.flag("new_customer", rule.new_customer))


def _refunds(reader: Reader, rule: Rule, changed_at: datetime | None, currency: str) -> Iterator[RefundReport]:
    for fields in refund_lists(rule):
        for element in reader.elements("refunds", fields.each):
            if element.holds(fields.when):
                refund = _refund(element, fields, "refund", currency)
                yield refund if refund.version else replace(refund, version=version_at(changed_at))


def _refund(reader: Reader, fields: Rule | RefundFields, kind: str, currency: str) -> RefundReport:
    lines = _lines(reader, fields.lines, currency)
    full = isinstance(fields, Rule) and bool(reader.flag("full", fields.full))
    told = None if full else _money(reader, fields, currency)
    amount, gross = (None, None) if told is None else (told.net, None)
    if told is not None and told.net is None:
        amount = gross = reader.amount("gross", fields.gross, currency)
    elif told is not None and told.net is not None and told.estimated and told.tax is None:
        # A total whose tax nobody says was paid back with it.
        amount = gross = told.net + (told.shipping or 0)
    line_based = amount is None and not full and bool(lines) and kind != "reversal"
    if line_based:
        _check_named(reader, fields.lines)
    full = full or (kind == "cancellation" and amount is None and not line_based)
    if amount is None and not full and not line_based:
        mapped = {name for name, _ in given_fields(fields)} & {*GIVEN_BACK, "full"}
        gaps = "; ".join(f"{name}: {gap}" for name, gap in reader.unfound if name in mapped)
        raise Unreadable("missing_value", f"how much was given back is not said: {gaps or 'no field says it'}")
    refund_id = reader.id("refund_id", fields.refund_id)
    if refund_id is None:
        if kind != "cancellation":
            raise reader.need("refund_id")
        refund_id = CANCELLED
    return RefundReport(
        refund_id=refund_id,
        kind=kind,
        amount_minor=amount,
        full=full,
        currency=currency if amount is not None or line_based else None,
        occurred_at=reader.moment("occurred_at", fields.occurred_at),
        version=version_at(reader.moment("updated_at", fields.updated_at)),
        lines=lines,
        is_gross=gross is not None,
        goods_first=gross is not None,
        line_based=line_based,
    )


def _read_refund(reader: Reader, rule: Rule, context: Context) -> OrderReport:
    _, refs = _refs(reader, rule)
    currency = _currency(reader, rule, context)
    refund = _refund(reader, rule, rule.read, currency)
    return OrderReport(
        shop=context.shop, kind=_kind(reader, rule), refs=refs, refunds=(refund,), system=_system(reader), stub=True
    )
