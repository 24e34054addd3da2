"""One postback: an order, a change of its status, or a refund of it, in the names of the source's preset (presets.py).

`amount` is what networks ask for: after discount, before tax and shipping. A message without a status is an order like any other; `rejected` is
a cancellation, and `approved` after it takes the cancellation back.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial

from app.domain import money
from app.domain.ids import EPOCH
from app.domain.order_fields import read_origin
from app.domain.orders import (
    KIND,
    WEAK,
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
from app.domain.strict_json import TEXT_CHARACTERS_MAX, Unreadable, read_text, read_time
from app.platforms.kit.digests import QUERY
from app.platforms.kit.vendor_json import amount_in, distinct, has_rounded, read_field
from app.platforms.postback.parameters import PostbackFields, read_parameters
from app.platforms.postback.presets import APPROVED, EVENTS, PENDING, REJECTED, STATUSES, Preset, preset_of

UNVERSIONED = -(1 << 62)
"""Version of a postback without `updated_at`, to which its time of receipt is added: of two about one order, the one received later counts. Far below
zero, because a report of the same trust that states a version, or a call of the brand's own server, must not yield to a network's echo of it."""

PARTS_MAX = 100
PARTS_CHARACTERS_MAX = 10_000
SHOWN_CHARACTERS_MAX = 60
NEGATIVE = "not be negative; a refund has a refund_id and a positive amount"
CANCELLED = "cancelled"
"""The refund id of a cancellation: an order has at most one, so that a later message can take it back."""

_NUMBER = re.compile(r"\d{1,20}", re.ASCII)
_UNIX = re.compile(r"\d{10}(\d{3})?", re.ASCII)
# A + that was not escaped in a query reads as a space.
_LOST_PLUS = re.compile(r"(T\d\d:\d\d(?::\d\d(?:\.\d+)?)?) (\d\d:?\d\d)$", re.ASCII)
_YES = frozenset({"1", "true", "yes", "y", "new"})
_NO = frozenset({"0", "false", "no", "n", "returning", "existing"})


def parse(body: bytes, headers: Mapping[str, str], context: Context) -> Parsed:
    """Reports from one delivery's raw bytes; `headers` with lower-case names, the query among them. Never raises: `rejected` says why not."""
    topic = ""
    try:
        preset = preset_of(context.settings)
        if preset is None:
            name = str(context.settings["preset"])[:SHOWN_CHARACTERS_MAX]
            raise Unreadable("unknown_preset", f"this release knows no preset {name!r}")
        fields = read_parameters(headers.get(QUERY, ""), headers.get("content-type", ""), body, preset)
        reader = _PostbackReader(fields, preset, context)
        topic = reader.event()
        report = reader.refund(topic) if "refund_id" in (*fields.given, *fields.unfilled) else reader.order(topic)
    except Unreadable as error:
        return Parsed(topic=topic, rejected=error.reason, detail=error.detail)
    unfilled = [f"{each.name} was not filled in: {_shown(each.value)}" for each in fields.unfilled.values()]
    return Parsed(topic=topic, reports=(report,), notes=(*reader.notes, *unfilled))


class _PostbackReader:
    """Reads the fields of one message; each raises Unreadable naming the parameter as the sender wrote it."""

    def __init__(self, fields: PostbackFields, preset: Preset, context: Context) -> None:
        self._fields = fields
        self._preset = preset
        self._context = context
        self.notes: list[str] = []

    # ── The three things a postback can be ───────────────────────────────────────────────────────────────────────────

    def order(self, kind: str) -> OrderReport:
        """An order, with its status where it says one."""
        click_id, status = self._id("click_id"), self._status()
        order_id = self._order_id()
        ref = self._weak_ref(click_id, kind) if order_id is None else order_ref(order_id)
        currency = self._currency()
        tax, shipping = self._amount("tax", currency), self._amount("shipping", currency)
        lines = self._parts(currency)
        net, estimated = self._net(currency, tax, shipping, lines)
        has_money = net is not None or tax is not None or shipping is not None or "currency" in self._fields.given
        return OrderReport(
            shop=self._context.shop,
            kind=kind,
            refs=(ref,),
            order_id=order_id,
            occurred_at=self._moment("occurred_at"),
            version=self._version(),
            currency=currency if has_money else None,
            tax_minor=tax,
            shipping_minor=shipping,
            net_minor=net,
            estimated=estimated,
            rounded=has_rounded(self.notes),
            paid={APPROVED: True, PENDING: False}.get(status or ""),
            codes=self._codes(),
            click_ids=() if click_id is None else (click_id,),
            visitor_id=self._id("visitor_id"),
            customer=self._customer(),
            origin=self._origin(),
            lines=lines,
            refunds=self._cancellation(status),
            test=self._flag("test") or False,
            # A bare "this one was rejected" is no report of an order that is not known otherwise.
            stub=status == REJECTED and net is None,
        )

    def refund(self, kind: str) -> OrderReport:
        """A refund of an order: its own id, and an amount on the base of `amount`."""
        order_id = self._order_id()
        ref = self._weak_ref(self._id("click_id"), kind) if order_id is None else order_ref(order_id)
        currency = self._currency()
        amount = self._amount("amount", currency)
        if amount is None:
            raise Unreadable(
                "missing_amount", "a refund says its amount; to take the whole order back, send status=rejected"
            )
        refund = RefundReport(
            refund_id=self._id("refund_id") or "",
            amount_minor=amount,
            currency=currency,
            occurred_at=self._moment("occurred_at"),
            version=self._version(),
        )
        return OrderReport(shop=self._context.shop, kind=kind, refs=(ref,), refunds=(refund,), stub=True)

    def _cancellation(self, status: str | None) -> tuple[RefundReport, ...]:
        if status not in (APPROVED, REJECTED):
            return ()
        amount = {"full": True} if status == REJECTED else {"amount_minor": 0}
        return (RefundReport(CANCELLED, kind="cancellation", version=self._version(), **amount),)

    # ── Which order ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _order_id(self) -> str | None:
        order_id = self._id("order_id")
        if order_id is None and not self._preset.weak_order_id:
            raise Unreadable(
                "no_order_id", f"no order id was said; {self._preset.title} names it {self._name('order_id')}"
            )
        return order_id

    def _weak_ref(self, click_id: str | None, kind: str) -> str:
        """A name for an order without an id: one click makes one order of a kind, as the network itself counts."""
        if click_id is None:
            raise Unreadable(
                "no_order_id",
                f"neither an order id ({self._name('order_id')}) nor a click id ({self._name('click_id')}) was said",
            )
        self.notes.append("weak_order_id")
        return f"{WEAK}{click_id}:{kind}"

    def _name(self, field: str) -> str:
        return self._preset.names[field][0]

    def _id(self, field: str) -> str | None:
        """A field that names something: a macro in it would make one of all orders, or of all clicks."""
        found = self._fields.given.get(field) or self._fields.unfilled.get(field)
        return None if found is None else read_field(found.name, found.value, read_id, "invalid_text")

    def _version(self) -> int:
        updated_at = self._moment("updated_at")
        if updated_at is not None:
            return version_at(updated_at)
        return UNVERSIONED + version_at(self._context.received_at)

    # ── Words ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def event(self) -> str:
        """The kind of conversion. Networks number their events: 7 is `event_7`, and 0, or nothing, the sale itself."""
        text = (self._text("event") or "sale").lower()
        kind = EVENTS.get(text, f"event_{text}" if _NUMBER.fullmatch(text) else text)
        if not KIND.fullmatch(kind):
            raise Unreadable("invalid_event", f"{self._name('event')} must be a word such as sale or lead, or a number")
        return kind

    def _status(self) -> str | None:
        text = self._text("status")
        if text is None:
            return None
        status = STATUSES.get(text.lower())
        if status is None:
            raise Unreadable("unknown_status", f"status is {_shown(text)}; known are {', '.join(sorted(STATUSES))}")
        return status

    def _origin(self) -> str | None:
        """Another word means something else to a network, and costs no order."""
        found = self._fields.given.get("origin")
        try:
            return None if found is None else read_origin(found.value)
        except ValueError as error:
            self.notes.append(f"origin {error}")
            return None

    def _text(self, field: str, *, characters_max: int = TEXT_CHARACTERS_MAX) -> str | None:
        found = self._fields.given.get(field)
        if found is None:
            return None
        return read_field(found.name, found.value, partial(read_text, characters_max=characters_max), "invalid_text")

    def _flag(self, field: str) -> bool | None:
        found = self._fields.given.get(field)
        if found is None or isinstance(found.value, bool):
            return None if found is None else bool(found.value)
        text = (self._text(field) or "").lower()
        if text not in _YES | _NO:
            raise Unreadable("invalid_flag", f"{found.name} is {_shown(text)}; 1 and 0 are understood")
        return text in _YES

    def _codes(self) -> tuple[str, ...]:
        found = self._fields.given.get("code") or self._fields.unfilled.get("code")
        if found is None:
            return ()
        values = found.value if isinstance(found.value, list) else [found.value]
        texts = [read_field(found.name, value, read_id, "invalid_text") for value in values]
        return distinct(part.strip() or None for text in texts for part in text.split(","))

    def _customer(self) -> Customer:
        text = self._id("customer")
        is_email = text is not None and "@" in text
        key = self._context.customer_key(None if is_email else text, text if is_email else None)
        return Customer(key=key, is_new=self._flag("acquisition"))

    def _moment(self, field: str) -> datetime | None:
        found = self._fields.given.get(field)
        return None if found is None else read_field(found.name, found.value, _read_moment, "invalid_time")

    # ── Money ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _currency(self) -> str:
        text = self._text("currency")
        if text is None:
            return self._context.currency
        name, declared = self._fields.given["currency"].name, self._context.currencies
        return read_field(name, text, lambda given: money.read_currency(given, declared), "unknown_currency")

    def _amount(self, field: str, currency: str) -> int | None:
        found = self._fields.given.get(field)
        return None if found is None else self._minor(found.name, found.value, currency)

    def _minor(self, name: str, value: object, currency: str) -> int:
        return amount_in(name, value, currency, negative=NEGATIVE, notes=self.notes, declared=self._context.currencies)

    def _net(
        self, currency: str, tax: int | None, shipping: int | None, lines: tuple[OrderLine, ...]
    ) -> tuple[int | None, bool]:
        """Net and whether it is estimated. Net is the amount, else the sum of its parts, else what was paid less tax and shipping."""
        parts = sum(line.net_minor or 0 for line in lines) if lines else None
        amount = self._amount("amount", currency)
        if amount is not None:
            if parts is not None and parts != amount:
                self.notes.append("the parts do not add up to the amount")
            return amount, False
        total = self._amount("total", currency)
        if parts is not None or total is None:
            return parts, False
        net = total - (tax or 0) - (shipping or 0)
        if net < 0:
            raise Unreadable("invalid_amount", f"{self._name('total')} is less than tax and shipping")
        return net, tax is None or shipping is None

    def _parts(self, currency: str) -> tuple[OrderLine, ...]:
        """`GROUP:12.00|GROUP2:3.00` as lines, one for each group."""
        text = self._text("parts", characters_max=PARTS_CHARACTERS_MAX)
        if text is None:
            return ()
        sums: dict[str, int] = {}
        for part in text.split("|")[: PARTS_MAX + 1]:
            group, colon, amount = part.rpartition(":")
            if not (colon and group.strip()) or len(sums) == PARTS_MAX:
                raise Unreadable(
                    "invalid_parts", f"{self._name('parts')} must be GROUP:12.00|GROUP2:3.00, at most {PARTS_MAX}"
                )
            minor = self._minor(self._name("parts"), amount, currency)
            sums[group.strip()] = sums.get(group.strip(), 0) + minor
        return tuple(OrderLine(id=group, name=group, net_minor=minor) for group, minor in sums.items())


def _read_moment(value: object) -> datetime:
    text = str(value).strip()
    if _UNIX.fullmatch(text):
        moment = EPOCH + timedelta(milliseconds=int(text) * (1 if len(text) == 13 else 1_000))
        return read_time(moment.astimezone(UTC).isoformat())
    return read_time(_LOST_PLUS.sub(r"\1+\2", text))


def _shown(value: object) -> str:
    return ascii(str(value)[:SHOWN_CHARACTERS_MAX])
