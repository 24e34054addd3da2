"""The bodies of POST /v1/conversions and POST /v1/refunds, which a signed webhook or a line of an import may be as well.

Nothing here trusts its input, and nothing raises anything but `Invalid`, which names every field at fault.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.domain import money
from app.domain.orders import (
    ADJUSTMENT_KINDS,
    CANCELLATION,
    CODES_MAX,
    KIND,
    LINES_MAX,
    REFUND,
    REVERSAL,
    Context,
    Customer,
    OrderLine,
    OrderReport,
    RefundReport,
    order_ref,
    version_at,
)
from app.domain.strict_json import read_text, read_time
from app.errors import FieldError, Invalid


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

    def lines(self) -> tuple[OrderLine, ...]:
        lines: list[OrderLine] = []
        for index, value in enumerate(self.listed("lines", LINES_MAX)):
            line = self.inner(f"lines.{index}", value)
            if line is None:
                continue
            quantity = line.whole("quantity", least=0, most=1_000_000)
            lines.append(
                OrderLine(
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
