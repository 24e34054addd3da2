"""Messages of an order that never was, as a generic source would send them: in the words of our own API, or written the way its mapping reads them.

A mapping says where everything stands, so that it also says how to write a message: a preset needs nothing more than its table to be tried.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import UNSET

from app.domain import money
from app.domain.orders import Context
from app.errors import Invalid
from app.platforms.generic import pointers
from app.platforms.generic.mapping import Amounts, LineFields, RefundFields, Rule, Value, places, read_mapping
from app.platforms.generic.mapping import Mapping as Table
from app.platforms.generic.reading import read_mapped
from app.platforms.generic.signature import NAMED, PLAIN, read_layout, sign
from app.platforms.kit.trial import TrialMessages, TrialOrder, TrialRequest
from app.platforms.presets import resolve

ADVICE = "try it with a message of your own shop instead: POST /v1/mappings/check"


def trial_messages(plan: TrialOrder, secret: str, settings: Mapping[str, object]) -> TrialMessages:
    """An order, and a refund of part of it. Invalid where the mapping has no word for what a rehearsal must say (that it is a test, above all)."""
    resolved = resolve(settings)
    layout = PLAIN if resolved.get("signature") is None else read_layout(resolved["signature"])
    order_id = f"rehearsal-{plan.number}"

    def sent(document: object, headers: Mapping[str, str], name: str, at: datetime) -> TrialRequest:
        body = json.dumps(document, separators=(",", ":")).encode()
        signature = sign(layout, body, secret, at=at, message_id=f"{order_id}-{name}")
        return TrialRequest(body=body, headers={"Content-Type": "application/json", **headers, **signature})

    if resolved.get("mapping") is None:
        order, refund = _own_words(plan, order_id)
        return TrialMessages(
            order_id=order_id,
            order=(sent(order, {}, "order", plan.ordered_at),),
            refund=(sent(refund, {}, "refund", plan.refunded_at),),
        )
    table = read_mapping(resolved["mapping"])
    ordering = next((rule for rule in table.rules if rule.read == "order"), None)
    refunding = next((rule for rule in table.rules if rule.read == "refund"), None)
    if ordering is None:
        raise Invalid.field("settings.mapping", f"no rule reads an order; {ADVICE}")
    paper = _written(table, ordering, plan, order_id, refunded=False)
    scene = [(paper, "order", plan.ordered_at)]
    if refunding is not None or ordering.refunds is not UNSET:
        paper = _written(table, refunding or ordering, plan, order_id, refunded=True)
        scene.append((paper, "refund", plan.refunded_at))
    messages = [sent(paper.document, paper.headers, name, at) for paper, name, at in scene]
    _check(table, plan, messages[0])
    return TrialMessages(order_id=order_id, order=tuple(messages[:1]), refund=tuple(messages[1:]))


def _own_words(plan: TrialOrder, order_id: str) -> tuple[dict[str, object], dict[str, object]]:
    order: dict[str, object] = {
        "type": "conversion",
        "order_id": order_id,
        "occurred_at": plan.ordered_at.isoformat(),
        "net_minor": plan.net_minor,
        "currency": plan.currency,
        "codes": [plan.code] if plan.code else [],
        "test": plan.test,
    }
    if plan.click_id:
        order["click_id"] = plan.click_id
    if plan.customer_email:
        order["customer"] = {"email": plan.customer_email}
    refund: dict[str, object] = {
        "type": "refund",
        "order_id": order_id,
        "refund_id": f"{order_id}-refund",
        "occurred_at": plan.refunded_at.isoformat(),
        "amount_minor": plan.refund_minor,
        "currency": plan.currency,
    }
    return order, refund


def _check(table: Table, plan: TrialOrder, order: TrialRequest) -> None:
    """Raises Invalid unless the order is read back as it was planned: conditions may exclude each other, a field may be missing."""
    context = Context(received_at=plan.ordered_at, currency=plan.currency, customer_key=lambda _, email: email)
    read = read_mapped(table, order.body, {name.lower(): text for name, text in order.headers.items()}, context).parsed
    wanted = (plan.net_minor, plan.currency, plan.test)
    said = [(report.net_minor, report.currency, report.test) for report in read.reports]
    if said == [wanted]:
        return
    if said == [(plan.net_minor, plan.currency, False)]:
        raise Invalid.field(
            "settings.mapping", f"the order's rule has no field `test`, so that a trial would be counted; {ADVICE}"
        )
    raise Invalid.field(
        "settings.mapping", f"no message can be made up that it reads as an order ({read.detail or said}); {ADVICE}"
    )


# ── Writing what a mapping reads ─────────────────────────────────────────────────────────────────────────────────────


class _Paper:
    """A message being written; places are those of one object in it."""

    def __init__(self, table: Table, currency: str) -> None:
        self.table = table
        self.currency = currency
        self.document: Any = {}
        self.headers: dict[str, str] = {}

    def write(self, asked: Any, value: object) -> None:
        """At the preferred place of a field; nothing for a field that the mapping does not have, or that is a constant."""
        where = [] if asked is UNSET else places(asked)
        if not where:
            return
        if where[0].startswith(NAMED):
            self.headers[where[0].removeprefix(NAMED)] = str(value)
        else:
            self.document = _put(self.document, pointers.tokens(where[0]), value)

    def write_flag(self, asked: Any, value: bool) -> None:
        """Yes or no. No is left unsaid where only words for yes are known."""
        if not isinstance(asked, Value) or asked.equals is UNSET:
            self.write(asked, value)
        elif value:
            self.write(asked, asked.equals[0])

    def write_time(self, asked: Any, moment: datetime) -> None:
        """A time in the form that is read there."""
        form = asked.time if isinstance(asked, Value) and asked.time is not UNSET else self.table.times
        micros = int(moment.timestamp() * 1_000_000)
        self.write(
            asked, {"rfc3339": moment.isoformat(), "unix_s": micros // 1_000_000, "unix_ms": micros // 1_000}[form]
        )

    def write_amount(self, asked: Any, minor: int) -> None:
        """An amount in the unit and with the sign that is read there."""
        unit, signed = self.table.amounts, minor
        if isinstance(asked, Value):
            unit, signed = unit if asked.unit is UNSET else asked.unit, -minor if asked.negate else minor
        major = money.to_decimal(signed, self.currency)
        if unit == "major":
            self.write(asked, f"{major:f}")
            return
        decimals = self.table.decimals.get(self.currency, money.exponent(self.currency))
        self.write(asked, str(int(major.scaleb(decimals).to_integral_value())))

    def write_money(self, fields: Amounts, minor: int) -> None:
        """Goods of this worth, without discount, tax or shipping."""
        for name in ("net", "items", "total"):
            self.write_amount(getattr(fields, name), minor)
        for name in ("discount", "tax", "shipping"):
            self.write_amount(getattr(fields, name), 0)


def _put(document: Any, way: tuple[str, ...], value: object) -> Any:
    """The document with the value at the end of the way; a list where the way goes through one."""
    if not way:
        return value
    step, rest = way[0], way[1:]
    if step == "*" or pointers.POSITION.fullmatch(step):
        known = document[0] if isinstance(document, list) and document else {}
        return [_put(known, rest, value)]
    if chosen := pointers.CHOSEN.fullmatch(step):
        name, wanted = chosen.groups()
        elements = document if isinstance(document, list) else []
        others = [each for each in elements if each.get(name) != wanted]
        known = next((each for each in elements if each.get(name) == wanted), {name: wanted})
        return [*others, _put(known, rest, value)]
    known = document if isinstance(document, dict) else {}
    return {**known, step: _put(known.get(step, {}), rest, value)}


def _written(table: Table, rule: Rule, plan: TrialOrder, order_id: str, *, refunded: bool) -> _Paper:
    paper = _Paper(table, plan.currency)
    is_refund = rule.read == "refund"
    at = plan.refunded_at if refunded else plan.ordered_at
    paper.write(rule.currency, plan.currency)
    paper.write_time(rule.updated_at, at)
    paper.write_time(rule.occurred_at, at if is_refund else plan.ordered_at)
    paper.write_money(rule, plan.refund_minor if is_refund else plan.net_minor)
    if is_refund:
        paper.write(rule.refund_id, f"{order_id}-refund")
    else:
        if plan.code:
            paper.write(rule.codes, plan.code)
        if plan.click_id:
            paper.write(rule.click_id, plan.click_id)
        if plan.customer_email:
            paper.write(rule.customer_email, plan.customer_email)
        paper.write_flag(rule.paid, True)
        paper.write_flag(rule.test, plan.test)
        paper.write_flag(rule.cancelled, False)
        if isinstance(rule.lines, LineFields):
            line = _Paper(table, plan.currency)
            line.write(rule.lines.id, "1")
            line.write_money(rule.lines, plan.net_minor)
            paper.write(rule.lines.each, line.document)
        if refunded and isinstance(rule.refunds, RefundFields):
            paper.write(rule.refunds.each, _refund_inside(table, rule.refunds, plan, order_id))
    # After the refund's id: some checkouts know a refund by its order alone, and both are read from one place.
    paper.write(rule.order_id, order_id)
    for condition in rule.when:
        if condition.equals is not UNSET:
            word = condition.equals[0] if isinstance(condition.equals, list) else condition.equals
            paper.write(condition, word)
    return paper


def _refund_inside(table: Table, fields: RefundFields, plan: TrialOrder, order_id: str) -> object:
    inside = _Paper(table, plan.currency)
    inside.write(fields.refund_id, f"{order_id}-refund")
    inside.write_time(fields.occurred_at, plan.refunded_at)
    inside.write_time(fields.updated_at, plan.refunded_at)
    inside.write_money(fields, plan.refund_minor)
    return inside.document
