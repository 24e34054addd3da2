"""Messages about a made-up order as a generic source would send them: in the words of our own API, or written the way its mapping reads them.

A mapping says where every field stands, and so it also says how to write a message. The sample that a mapping was tried on is not sent instead: it is
an order of the shop, without the trial's code, click and amount, and above all without the mark that keeps a test out of the reports.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from msgspec import UNSET

from app.domain.orders import Context
from app.errors import Invalid
from app.platforms.generic import pointers
from app.platforms.generic.mapping import (
    Amounts,
    Condition,
    LineFields,
    Rule,
    Value,
    places,
    read_mapping,
    refund_lists,
)
from app.platforms.generic.mapping import Mapping as Table
from app.platforms.generic.reading import read_mapped
from app.platforms.generic.signature import NAMED, PLAIN, read_layout, sign
from app.platforms.kit.digests import URL
from app.platforms.kit.templates import fill
from app.platforms.kit.trial import TrialMessages, TrialOrder, TrialRequest, read_messages, write_json
from app.platforms.presets import resolve

ANYTHING = "1"
"""Stands where a mapping asks that something does."""
MESSAGES = read_messages(__file__)
ADVICE = "try it with a message of your own shop instead: POST /v1/mappings/check"


def trial_messages(trial: TrialOrder, secret: str, settings: Mapping[str, object]) -> TrialMessages:
    """An order, and a refund of part of it. Invalid where the mapping has no place for what a trial must say (that it is a test, above all)."""
    resolved = resolve(settings)
    layout = PLAIN if resolved.get("signature") is None else read_layout(resolved["signature"])
    order_id = f"rehearsal-{trial.number}"

    def request(document: object, headers: Mapping[str, str], name: str, at: datetime) -> TrialRequest:
        body = write_json(document)
        signature = sign(layout, body, secret, at=at, message_id=f"{order_id}-{name}", url=str(settings.get(URL, "")))
        return TrialRequest(body=body, headers={"Content-Type": "application/json", **headers, **signature})

    if resolved.get("mapping") is None:
        values = {
            **{each.name: getattr(trial, each.name) for each in fields(trial)},
            "order_id": order_id,
            "ordered_at": trial.ordered_at.isoformat(),
            "refunded_at": trial.refunded_at.isoformat(),
            "codes": [trial.code] if trial.code else [],
            "customer": {"email": trial.customer_email} if trial.customer_email else None,
        }
        ordered = request(fill(MESSAGES["order"], values), {}, "order", trial.ordered_at)
        refunded = request(fill(MESSAGES["refund"], values), {}, "refund", trial.refunded_at)
        return TrialMessages(order_id, order=(ordered,), refund=(refunded,))
    table = read_mapping(resolved["mapping"])
    if trial.sample is not None:
        return TrialMessages(
            order_id, order=(request(*_in_sample(table, trial, order_id), "order", trial.ordered_at),), refund=()
        )
    ordering = _ordering(table)
    ordered = request(*write_order(table, trial, order_id), "order", trial.ordered_at)
    _check(table, trial, ordered)
    refunding = next((rule for rule in table.rules if rule.read == "refund"), ordering)
    if refunding is ordering and ordering.refunds is UNSET:
        return TrialMessages(order_id, order=(ordered,), refund=())
    writer = _write_message(table, refunding, trial, order_id, refunded=True)
    refunded = request(writer.document, writer.headers, "refund", trial.refunded_at)
    return TrialMessages(order_id, order=(ordered,), refund=(refunded,))


def _ordering(table: Table) -> Rule:
    found = next((rule for rule in table.rules if rule.read == "order"), None)
    if found is None:
        raise Invalid.field("settings.mapping", f"no rule reads an order; {ADVICE}")
    return found


def write_order(table: Table, trial: TrialOrder, order_id: str) -> tuple[object, Mapping[str, str]]:
    """The body and the headers of a message that this mapping reads as the order. Raises Invalid where no rule reads one."""
    writer = _write_message(table, _ordering(table), trial, order_id, refunded=False)
    return writer.document, writer.headers


def _in_sample(table: Table, trial: TrialOrder, order_id: str) -> tuple[object, Mapping[str, str]]:
    """The sample with the trial's id, code, click, time and test mark in it; its amounts stay as the checkout wrote them.

    Raises Invalid where it would not be read as this test order alone: under a name of its own it could meet an order of the shop.
    """
    context = Context(trial.ordered_at, trial.currency, lambda _, email: email, currencies=trial.currencies)
    lowered = {name.lower(): text for name, text in trial.sample_headers.items()}
    number = read_mapped(table, write_json(trial.sample), lowered, context).rule
    rule = None if number is None else table.rules[number]
    if rule is None or rule.read != "order" or table.each is not UNSET:
        raise Invalid.field("sample", "is not read as one order")
    writer = _Writer(table, trial)
    writer.document, writer.headers = trial.sample, dict(lowered)
    for field in (rule.refs, rule.order_id):
        writer.write(field, order_id)
    writer.write_time(rule.updated_at, trial.ordered_at)
    writer.write_time(rule.occurred_at, trial.ordered_at)
    writer.write(rule.codes, trial.code)
    writer.write(rule.click_id, trial.click_id)
    writer.write_flag(rule.paid, True)
    writer.write_flag(rule.cancelled, False)
    writer.write_flag(rule.test, trial.test)
    headers = {name.lower(): text for name, text in writer.headers.items()}
    parsed = read_mapped(table, write_json(writer.document), headers, context).parsed
    if [(report.refs, report.test) for report in parsed.reports] != [((order_id,), trial.test)]:
        why = parsed.detail or f"it is read as {[(report.refs, report.test) for report in parsed.reports]}"
        raise Invalid.field("sample", f"cannot be marked as a test order of its own name: {why}")
    return writer.document, headers


def _check(table: Table, trial: TrialOrder, order: TrialRequest) -> None:
    """Raises Invalid unless the order is read back as it was planned: conditions may exclude each other, a field may be missing."""
    context = Context(
        received_at=trial.ordered_at,
        currency=trial.currency,
        customer_key=lambda _, email: email,
        currencies=trial.currencies,
    )
    headers = {name.lower(): text for name, text in order.headers.items()}
    parsed = read_mapped(table, order.body, headers, context).parsed
    found = [(report.net_minor, report.currency, report.test) for report in parsed.reports]
    if found == [(trial.net_minor, trial.currency, trial.test)]:
        return
    reason = f"no message can be made up that it reads as an order ({parsed.detail or found}); {ADVICE}"
    if found == [(trial.net_minor, trial.currency, False)]:
        reason = f"the order's rule has no field `test`, so that a trial would be counted; {ADVICE}"
    raise Invalid.field("settings.mapping", reason)


# ── Writing what a mapping reads ─────────────────────────────────────────────────────────────────────────────────────


class _Writer:
    """Writes a message, or one object in it: places are those of that object."""

    def __init__(self, table: Table, trial: TrialOrder, above: "_Writer | None" = None) -> None:
        self.above = above
        self.table = table
        self.trial = trial
        self.document: Any = {}
        self.headers: dict[str, str] = {}

    def write(self, field: Any, value: object) -> None:
        """At the preferred place of a field; nothing without a value, for a field that the mapping does not have, or for a constant."""
        at = [] if field is UNSET or value is None else places(field)
        if at and at[0].startswith(NAMED):
            self.headers[at[0].removeprefix(NAMED)] = str(value)
        elif at and at[0].startswith(pointers.TOP) and self.above is not None:
            self.above.write(at[0], value)
        elif at:
            self.document = _put(self.document, pointers.tokens(at[0]), value)

    def write_flag(self, field: Any, value: bool) -> None:
        """Yes or no. No is left out where only words for yes are known."""
        if not isinstance(field, Value) or field.equals is UNSET:
            self.write(field, value)
        elif value:
            self.write(field, field.equals[0])

    def write_time(self, field: Any, moment: datetime) -> None:
        """A time in the form that is read there."""
        form = field.time if isinstance(field, Value) and field.time is not UNSET else self.table.times
        micros = int(moment.timestamp() * 1_000_000)
        forms = {"rfc3339": moment.isoformat(), "unix_s": micros // 1_000_000, "unix_ms": micros // 1_000}
        self.write(field, forms[form])

    def write_amount(self, field: Any, minor: int) -> None:
        """An amount in the unit and with the sign that is read there."""
        unit = self.table.amounts
        if isinstance(field, Value):
            unit, minor = unit if field.unit is UNSET else field.unit, -minor if field.negate else minor
        own = self.trial.decimals
        scaled = Decimal(minor).scaleb(self.table.decimals.get(self.trial.currency, own) - own)
        self.write(field, self.trial.major(minor) if unit == "major" else str(int(scaled.to_integral_value())))

    def write_conditions(self, conditions: Sequence[Condition]) -> None:
        """The first word that each condition asks for; anything where one only asks that something stands there, and nothing does."""
        for condition in conditions:
            if condition.equals is not UNSET:
                words = condition.equals if isinstance(condition.equals, list) else [condition.equals]
                self.write(condition, words[0])
            elif condition.present is True and not any(map(self._holds, places(condition))):
                self.write(condition, ANYTHING)

    def _holds(self, place: str) -> bool:
        if place.startswith(pointers.TOP) and self.above is not None:
            return self.above._holds(place)
        headers = {name.lower(): text for name, text in self.headers.items()}
        return any(value != "" for value in pointers.find(self.document, headers, place))

    def write_money(self, fields: Amounts, minor: int) -> None:
        """Goods of this worth, without discount, tax or shipping."""
        for name in ("net", "items", "total"):
            self.write_amount(getattr(fields, name), minor)
        for name in ("discount", "tax", "shipping"):
            self.write_amount(getattr(fields, name), 0)


def _put(document: Any, path: tuple[str, ...], value: object) -> Any:
    """The document with the value at the end of the path; a list where the path goes through one."""
    if not path:
        # A list of refunds may be the very object that holds the order's own fields.
        return {**document, **value} if isinstance(document, dict) and isinstance(value, dict) else value
    step, rest = path[0], path[1:]
    if step == "*" or pointers.POSITION.fullmatch(step):
        first = document[0] if isinstance(document, list) and document else {}
        return [_put(first, rest, value), *(document[1:] if isinstance(document, list) else [])]
    if chosen := pointers.CHOSEN.fullmatch(step):
        name, wanted = chosen.groups()
        wanted = wanted.partition("|")[0]
        elements = document if isinstance(document, list) else []
        others = [each for each in elements if each.get(name) != wanted]
        element = next((each for each in elements if each.get(name) == wanted), {name: wanted})
        return [*others, _put(element, rest, value)]
    fields = document if isinstance(document, dict) else {}
    return {**fields, step: _put(fields.get(step, {}), rest, value)}


def _write_message(table: Table, rule: Rule, trial: TrialOrder, order_id: str, *, refunded: bool) -> _Writer:
    body = _Writer(table, trial)
    writer = body if table.each is UNSET else _Writer(table, trial, body)
    is_refund = rule.read == "refund"
    at = trial.refunded_at if refunded else trial.ordered_at
    writer.write(rule.currency, trial.currency)
    writer.write_time(rule.updated_at, at)
    writer.write_time(rule.occurred_at, at if is_refund else trial.ordered_at)
    writer.write_money(rule, trial.refund_minor if is_refund else trial.net_minor)
    if is_refund:
        writer.write(rule.refund_id, f"{order_id}-refund")
        writer.write_amount(rule.gross, trial.refund_minor)
    else:
        writer.write(rule.codes, trial.code)
        writer.write(rule.click_id, trial.click_id)
        writer.write(rule.customer_email, trial.customer_email)
        writer.write_flag(rule.paid, True)
        writer.write_flag(rule.test, trial.test)
        writer.write_flag(rule.cancelled, False)
        if isinstance(rule.lines, LineFields):
            line = _Writer(table, trial, writer)
            line.write(rule.lines.id, "1")
            line.write_money(rule.lines, trial.net_minor)
            writer.write(rule.lines.each, line.document)
        for refunds in refund_lists(rule)[:1] if refunded else ():
            refund = _Writer(table, trial, writer)
            refund.write(refunds.refund_id, f"{order_id}-refund")
            refund.write_time(refunds.occurred_at, trial.refunded_at)
            refund.write_time(refunds.updated_at, trial.refunded_at)
            refund.write_money(refunds, trial.refund_minor)
            refund.write_amount(refunds.gross, trial.refund_minor)
            refund.write_conditions(refunds.when)
            writer.write(refunds.each, refund.document)
    # After the refund's id: some checkouts know a refund by its order alone, and both are read from one place.
    writer.write(rule.order_id, order_id)
    writer.write_conditions(rule.when)
    if table.each is not UNSET:
        body.write(table.each, writer.document)
        body.headers |= writer.headers
    return body
