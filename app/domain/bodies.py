"""Reading bodies that others wrote: JSON, texts, times; and the two bodies of our own API, which a signed webhook may carry as well.

Nothing here trusts its input, and nothing raises anything but `Unreadable` (a body) or `Invalid` (fields of it).
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from app.domain import money
from app.domain.ids import EPOCH
from app.domain.orders import (
    CANCELLATION,
    CHARGEBACK,
    REFUND,
    REVERSAL,
    Customer,
    Line,
    OrderReport,
    RefundReport,
)
from app.errors import FieldError, Invalid

TEXT_CHARACTERS_MAX = 200
CODES_MAX = 20
LINES_MAX = 1_000
DIGITS_MAX = 30
ADJUSTMENT_KINDS = (REFUND, CANCELLATION, CHARGEBACK, REVERSAL)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
"""Times outside are mistakes (an empty epoch, milliseconds read as seconds), never the time of an order."""

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,12})?)?(?P<zone>[Zz]|[+-]\d\d:?\d\d)?", re.ASCII)
_UNKEPT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
KIND = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
# The thank-you page says OrderIdentity on some shops, and means the same number.
_GLOBAL_ID = re.compile(r"gid://shopify/Order(?:Identity)?/(\d+)", re.ASCII)


class Unreadable(ValueError):
    """A body that cannot be read at all. `reason` is a stable word, `detail` a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Context:
    """What a body does not say itself: where it arrived, and how its brand does things.

    currency: the brand's, for amounts without one. click_param: the brand's name for the click id in landing pages.
    customer_key: from (id, e-mail), either of them None, to the keyed hash that is kept instead of both.
    settings: of the source.
    """

    received_at: datetime
    currency: str
    customer_key: Callable[[str | None, str | None], str | None]
    shop: str = "main"
    click_param: str = "ariane"
    settings: Mapping[str, object] = field(default_factory=dict)


# ── JSON, texts, times ───────────────────────────────────────────────────────────────────────────────────────────────


def read_json(body: bytes) -> object:
    """The JSON value of a body: fractions as Decimal, never float.

    Unreadable: `not_json` for anything that is not one UTF-8 JSON value (NaN and Infinity included), `duplicate_keys` for an object that
    says one name twice: which of the two counts would be a guess.
    """
    try:
        value = _decode(body)
        if _says_each_name_once(body, value):
            return value
    except (ValueError, ArithmeticError, RecursionError):
        pass
    return _read_with_care(body)


# Twice as fast as json's decoder, which has to call back for every object to see a name twice; all that it refuses or may have dropped is
# read again by that one, whose verdict counts. `number`: a Decimal is written as it was read, not as a text.
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


def _says_each_name_once(body: bytes, value: object) -> bool:
    """Whether the value is certainly all that the body says. False where it may have lost a pair whose name came again.

    Every pair has one colon outside of texts, and nothing else has; a lost pair takes at least that one with it. Colons inside of texts are the
    same before and after, unless they were escaped.
    """
    written = _encode(value)
    if written == body:
        return True
    # What most shop systems escape without need. Nothing else is written so, and no escape that matters comes to be by taking these away.
    if b"\\" in body and written == body.replace(b"\\/", b"/").replace(b"\\u0026", b"&"):
        return True
    return written.count(b":") == body.count(b":") and (b"\\" not in body or b"\\u003" not in body)


def _read_with_care(body: bytes) -> object:
    try:
        return json.loads(
            body.decode("utf-8-sig"), parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_object
        )
    except Unreadable:
        raise
    except RecursionError:
        raise Unreadable("not_json", "the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Unreadable("not_json", f"the body is not JSON: {error.msg} at {where}") from None
    except (ValueError, ArithmeticError) as error:
        raise Unreadable("not_json", f"the body is not JSON: {error}"[:TEXT_CHARACTERS_MAX]) from None


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no number")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise Unreadable("duplicate_keys", f"{twice[:60]!r} stands twice in one object")
    return found


def read_text(value: object, *, characters_max: int = TEXT_CHARACTERS_MAX) -> str:
    """A text or whole number as a stripped text. ValueError says why not: another type, empty, too long, NUL and other control characters,
    lone surrogates (neither of the last two could be stored)."""
    text = value.strip() if type(value) is str else _read_number(value)
    if not text:
        raise ValueError("must not be empty")
    if len(text) > characters_max:
        raise ValueError(f"is longer than {characters_max} characters")
    # None of these is printable; much that is not is kept all the same, and so is looked at.
    if not text.isprintable() and (unkept := _UNKEPT.search(text)) is not None:
        half = unkept[0] >= "\ud800"
        raise ValueError(
            "holds half a surrogate pair, which is not a character" if half else "holds control characters"
        )
    return text


def _read_number(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("must be a text")
    try:
        return str(value).strip()
    except ValueError:
        raise ValueError("is too long a number") from None


def read_time(value: object) -> datetime:
    """An RFC 3339 time with its offset, as UTC. ValueError says why not; a time without an offset is never guessed."""
    matched = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if matched is None:
        raise ValueError("must be a time such as 2026-11-21T18:00:00Z")
    if not matched["zone"]:
        raise ValueError("has no time zone; end it with Z or an offset such as +01:00")
    try:
        moment = datetime.fromisoformat(matched[0].upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is not a moment of the calendar") from None
    if not EARLIEST <= moment < LATEST:
        raise ValueError("must lie between the years 2000 and 2100")
    return moment


def read_major(value: object, currency: str) -> int:
    """An amount in major units, as a text ("49.90") or a JSON number, in minor units. ValueError for anything else, with a reason."""
    if isinstance(value, str):
        return money.read_amount(value, currency)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be an amount such as 49.90")
    try:
        exact = Decimal(value)
        # 1e999999 is eight characters long and a million digits wide: refused before it is written out.
        if not exact.is_finite() or (exact and not -DIGITS_MAX < exact.adjusted() < DIGITS_MAX):
            raise ValueError("the amount is absurd")
        return money.from_decimal(exact, currency)
    except ArithmeticError:
        raise ValueError("the amount is absurd") from None


def version_at(moment: datetime | None) -> int:
    """A time as a version: microseconds since the Unix epoch; 0 for none."""
    return 0 if moment is None else (moment - EPOCH) // timedelta(microseconds=1)


def order_ref(order_id: str) -> str:
    """An order's name as it is compared: `#1001` is 1001, and Shopify's global id is the number at its end."""
    matched = _GLOBAL_ID.fullmatch(order_id)
    if matched:
        return matched[1]
    return order_id.removeprefix("#").strip() or order_id


# ── The bodies of POST /v1/conversions and POST /v1/refunds ──────────────────────────────────────────────────────────


class _Fields:
    """Reads the fields of one body and collects everything that is wrong with them."""

    def __init__(self, body: Mapping[str, object], prefix: str = "", errors: list[FieldError] | None = None) -> None:
        self.body = body
        self.prefix = prefix
        self.errors: list[FieldError] = [] if errors is None else errors

    def wrong(self, name: str, reason: str, code: str = "invalid") -> None:
        self.errors.append(FieldError(f"{self.prefix}{name}", reason, code))

    def given(self, name: str) -> object:
        """The field's value; None when it is missing or null, which mean the same."""
        return self.body.get(name)

    def text(self, name: str, *, required: bool = False) -> str | None:
        value = self.given(name)
        if value is None:
            if required:
                self.wrong(name, "is required", "required")
            return None
        try:
            return read_text(value)
        except ValueError as error:
            self.wrong(name, str(error))
            return None

    def moment(self, name: str) -> datetime | None:
        value = self.given(name)
        if value is None:
            return None
        try:
            return read_time(value)
        except ValueError as error:
            self.wrong(name, str(error), "invalid_time")
            return None

    def flag(self, name: str) -> bool | None:
        value = self.given(name)
        if value is not None and not isinstance(value, bool):
            self.wrong(name, "must be true or false")
            return None
        return value

    def whole(self, name: str, *, least: int = 0, most: int = money.AMOUNT_MINOR_MAX) -> int | None:
        value = self.given(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong(name, "must be a whole number", "invalid_amount" if name.endswith("_minor") else "invalid")
            return None
        if not least <= value <= most:
            self.wrong(name, f"must be from {least} to {most}", "out_of_range")
            return None
        return value

    def currency(self, default: str) -> str:
        value = self.given("currency")
        if value is None:
            return default
        try:
            return money.read_currency(read_text(value, characters_max=10))
        except ValueError as error:
            self.wrong("currency", str(error), "unknown_currency")
            return default

    def kind(self) -> str:
        value = self.text("kind")
        if value is None:
            return "sale"
        if not KIND.fullmatch(value):
            self.wrong("kind", "must be a word such as sale, lead or signup: a-z, 0-9 and _, at most 40")
        return value

    def listed(self, name: str, most: int) -> list[object]:
        value = self.given(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.wrong(name, "must be a list")
            return []
        if len(value) > most:
            self.wrong(name, f"holds more than {most}", "too_many")
            return []
        return value

    def codes(self) -> tuple[str, ...]:
        codes: list[str] = []
        for index, value in enumerate(self.listed("codes", CODES_MAX)):
            try:
                codes.append(read_text(value))
            except ValueError as error:
                self.wrong(f"codes.{index}", str(error))
        return tuple(dict.fromkeys(codes))

    def inner(self, name: str, value: object) -> "_Fields | None":
        if value is None:
            return None
        if not isinstance(value, Mapping):
            self.wrong(name, "must be an object")
            return None
        return _Fields(value, f"{self.prefix}{name}.", self.errors)

    def lines(self) -> tuple[Line, ...]:
        lines: list[Line] = []
        for index, value in enumerate(self.listed("lines", LINES_MAX)):
            line = self.inner(f"lines.{index}", value)
            if line is None:
                continue
            quantity = line.whole("quantity", least=0, most=1_000_000)
            lines.append(
                Line(
                    id=line.text("id") or str(index + 1),
                    quantity=1 if quantity is None else quantity,
                    net_minor=line.whole("net_minor"),
                    sku=line.text("sku"),
                    name=line.text("name"),
                )
            )
        return tuple(lines)

    def checked(self) -> None:
        """Raises Invalid with every error so far; returns when there is none."""
        if self.errors:
            told = "; ".join(f"{error.field} {error.reason}" for error in self.errors[:10])
            raise Invalid(told, fields=tuple(self.errors))


def read_order(body: object, context: Context) -> OrderReport:
    """The body of POST /v1/conversions as a report.

    `{order_id, codes}` is enough. net_minor, or items_minor and perhaps discount_minor; both only where they agree. Amounts without a
    currency are in the brand's. Fields it does not know are let be. Raises Invalid naming every field at fault.
    """
    fields = _top(body)
    order_id = fields.text("order_id", required=True) or ""
    currency = fields.currency(context.currency)
    items, discount, net = (fields.whole(name) for name in ("items_minor", "discount_minor", "net_minor"))
    tax, shipping = fields.whole("tax_minor"), fields.whole("shipping_minor")
    if items is not None:
        computed = items - (discount or 0)
        if computed < 0:
            fields.wrong("discount_minor", "is more than items_minor", "out_of_range")
        if net is not None and net != computed:
            fields.wrong("net_minor", "is not items_minor - discount_minor; leave one of them out", "contradiction")
        net = computed
    amounts = (items, discount, net, tax, shipping)
    has_money = any(amount is not None for amount in amounts) or fields.given("currency") is not None
    click_id = fields.text("click_id")
    report = OrderReport(
        shop=fields.text("shop") or context.shop,
        kind=fields.kind(),
        refs=(order_ref(order_id),),
        order_id=order_id,
        occurred_at=fields.moment("occurred_at"),
        version=version_at(fields.moment("updated_at")),
        currency=currency if has_money else None,
        items_minor=items,
        discount_minor=discount,
        tax_minor=tax,
        shipping_minor=shipping,
        net_minor=net,
        codes=fields.codes(),
        click_ids=() if click_id is None else (click_id,),
        visitor_id=fields.text("visitor_id"),
        customer=_customer(fields, context),
        lines=fields.lines(),
        test=fields.flag("test") or False,
    )
    fields.checked()
    return report


def read_refund(body: object, context: Context) -> OrderReport:
    """The body of POST /v1/refunds as a report of an order that says nothing but this refund.

    `type` is refund (the default), cancellation, chargeback or reversal. At most one of amount_minor, `full: true` and lines whose worth the order
    knows; lines beside an amount are only kept. A cancellation or reversal that names none of them is meant in full. Positive amounts, on the
    base of net_minor. Raises Invalid naming every field at fault.
    """
    fields = _top(body)
    order_id = fields.text("order_id", required=True) or ""
    refund_id = fields.text("refund_id", required=True) or ""
    kind = fields.text("type") or REFUND
    if kind not in ADJUSTMENT_KINDS:
        fields.wrong("type", f"must be one of {', '.join(ADJUSTMENT_KINDS)}")
    reverses = fields.text("reverses")
    if reverses is not None and kind != REVERSAL:
        fields.wrong("reverses", "is for a reversal only: type: reversal", "contradiction")
    amount, full, lines = fields.whole("amount_minor"), fields.flag("full") or False, fields.lines()
    by_lines = False
    if fields.given("amount_minor") is not None:
        if full:
            fields.wrong("amount_minor", "give either amount_minor or full: true", "required")
    elif not full:
        by_lines = bool(lines) and kind != REVERSAL
        full = not by_lines and kind in (CANCELLATION, REVERSAL)
        if not by_lines and not full:
            fields.wrong("amount_minor", "give amount_minor, full: true, or lines", "required")
    if by_lines:
        for index, line in enumerate(fields.listed("lines", LINES_MAX)):
            if isinstance(line, Mapping) and line.get("id") is None:
                fields.wrong(f"lines.{index}.id", "is required: the id of the order's line", "required")
    currency = fields.currency(context.currency)
    refund = RefundReport(
        refund_id=refund_id,
        kind=kind,
        amount_minor=amount,
        full=full,
        currency=None if amount is None and fields.given("currency") is None else currency,
        occurred_at=fields.moment("occurred_at"),
        version=version_at(fields.moment("updated_at")),
        lines=lines,
        by_lines=by_lines,
        reverses=reverses,
    )
    report = OrderReport(
        shop=fields.text("shop") or context.shop,
        kind=fields.kind(),
        refs=(order_ref(order_id),),
        refunds=(refund,),
        stub=True,
    )
    fields.checked()
    return report


def _top(body: object) -> _Fields:
    if not isinstance(body, Mapping):
        raise Invalid("the body must be a JSON object", code="not_an_object")
    return _Fields(body)


def _customer(fields: _Fields, context: Context) -> Customer:
    given: Any = fields.given("customer")
    customer = fields.inner("customer", given)
    if customer is None:
        return Customer()
    return Customer(
        key=context.customer_key(customer.text("id"), customer.text("email")), is_new=customer.flag("is_new")
    )
