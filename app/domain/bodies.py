"""Reads the bodies of POST /v1/conversions and POST /v1/refunds, which a signed webhook or a line of an import may be as well: each is read alike.

Which fields there are, their types and limits: order_fields.toml. Here stand the rules between fields. Nothing here trusts its input, and nothing
raises anything but `Invalid`, which names every field at fault.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from app.domain.money import exponent
from app.domain.order_fields import (
    ORDER_AMOUNTS,
    ORDER_DETAILS,
    ORDER_FIELDS,
    REFUND_AMOUNTS,
    REFUND_DETAILS,
    REFUND_FIELDS,
    REFUND_NAMES,
    has_content,
    read_fields,
    refuse_unknown,
)
from app.domain.orders import (
    CANCELLATION,
    REFUND,
    REVERSAL,
    UNKNOWN_CUSTOMER,
    Context,
    Customer,
    OrderLine,
    OrderReport,
    RefundReport,
    order_ref,
    version_at,
)
from app.errors import FieldError, Invalid

CANCELLED = "cancelled"
"""Refund id of the cancellation that a report of an order states: an order has at most one."""


def read_order(body: object, context: Context) -> OrderReport:
    """The body of POST /v1/conversions as a report.

    `{order_id, codes}` is enough. net_minor, or items_minor and perhaps discount_minor; both only where they agree. Amounts without a
    currency are in the brand's. Raises Invalid naming every field at fault, and every field that there is not.
    """
    given = _object(body)
    errors: list[FieldError] = []
    found = read_fields(ORDER_AMOUNTS, given, errors)
    _check_currency(found, context, errors)
    amounts = (found["items_minor"], found["discount_minor"], found["tax_minor"], found["shipping_minor"])
    has_money = any(amount is not None for amount in (*amounts, found["net_minor"])) or has_content(
        given.get("currency")
    )
    if found["items_minor"] is not None:
        found["net_minor"] = _net(found, errors)
    found |= read_fields(ORDER_DETAILS, given, errors)
    refuse_unknown(ORDER_FIELDS, given, errors, "an order")
    if errors:
        raise refuse_fields(errors)
    del found["type"]
    click_id, customer, updated_at = (found.pop(name) for name in ("click_id", "customer", "updated_at"))
    found["shop"] = found["shop"] or context.shop
    found["kind"] = found["kind"] or "sale"
    found["currency"] = (found["currency"] or context.currency) if has_money else None
    found["codes"] = tuple(dict.fromkeys(found["codes"] or ()))
    found["lines"] = _lines(found["lines"])
    found["test"] = found["test"] or False
    currency = found["currency"] or context.currency
    cancellation = cancelled(found.pop("cancelled"), found["occurred_at"], updated_at, currency)
    return OrderReport(
        refs=(order_ref(found["order_id"]),),
        version=version_at(updated_at),
        click_ids=() if click_id is None else (click_id,),
        customer=_customer(customer, context),
        refunds=() if cancellation is None else (cancellation,),
        **found,
    )


def cancelled(
    stated: bool | None, ordered_at: datetime | None, changed_at: datetime | None, currency: str
) -> RefundReport | None:
    """The cancellation that a report of an order states by its yes or no; None where it states none."""
    if stated:
        return RefundReport(CANCELLED, CANCELLATION, full=True, version=version_at(changed_at))
    if stated is False and changed_at is not None and (ordered_at is None or changed_at > ordered_at):
        # It may have been cancelled before. Not for a new order, where there is nothing to take back.
        return RefundReport(CANCELLED, CANCELLATION, amount_minor=0, currency=currency, version=version_at(changed_at))
    return None


def _net(found: Mapping[str, Any], errors: list[FieldError]) -> int:
    net: int = found["items_minor"] - (found["discount_minor"] or 0)
    if net < 0:
        errors.append(FieldError("discount_minor", "is more than items_minor", "out_of_range"))
    if found["net_minor"] not in (None, net):
        reason = "is not items_minor - discount_minor; leave one of them out"
        errors.append(FieldError("net_minor", reason, "contradiction"))
    return net


def read_refund(body: object, context: Context) -> OrderReport:
    """The body of POST /v1/refunds as a report that states nothing of the order but this refund.

    `type` is refund (the default), cancellation, chargeback or reversal. At most one of amount_minor, gross_minor, `full: true` and lines whose worth
    the order knows; lines beside an amount are only kept. A cancellation or reversal that names none of them is meant in full. Positive amounts, on
    the base of net_minor or, gross, with tax and shipping. Raises Invalid naming every field at fault.
    """
    given = _object(body)
    errors: list[FieldError] = []
    found = read_fields(REFUND_NAMES, given, errors)
    kind = found["type"] or REFUND
    if found["reverses"] is not None and kind != REVERSAL:
        errors.append(FieldError("reverses", "is for a reversal only: type: reversal", "contradiction"))
    found |= read_fields(REFUND_AMOUNTS, given, errors)
    full, lines = found["full"] or False, _lines(found["lines"])
    line_based = False
    stated = [name for name in ("amount_minor", "gross_minor") if has_content(given.get(name))]
    if stated:
        if full or len(stated) > 1:
            errors.append(FieldError(stated[0], "give one of amount_minor, gross_minor and full: true", "required"))
    elif not full:
        line_based = bool(lines) and kind != REVERSAL
        full = not line_based and kind in (CANCELLATION, REVERSAL)
        if not line_based and not full:
            errors.append(
                FieldError("amount_minor", "give amount_minor, gross_minor, full: true, or lines", "required")
            )
    if line_based:
        errors += [
            FieldError(f"lines.{index}.id", "is required: the id of the order's line", "required")
            for index, line in enumerate(given["lines"])
            if isinstance(line, dict) and not has_content(line.get("id"))
        ]
    found |= read_fields(REFUND_DETAILS, given, errors)
    _check_currency(found, context, errors)
    refuse_unknown(REFUND_FIELDS, given, errors, "a refund")
    if errors:
        raise refuse_fields(errors)
    is_gross = found["gross_minor"] is not None
    amount_minor = found["gross_minor"] if is_gross else found["amount_minor"]
    has_currency = amount_minor is not None or found["currency"] is not None
    refund = RefundReport(
        refund_id=found["refund_id"],
        kind=kind,
        amount_minor=amount_minor,
        full=full,
        currency=(found["currency"] or context.currency) if has_currency else None,
        occurred_at=found["occurred_at"],
        version=version_at(found["updated_at"]),
        lines=lines,
        is_gross=is_gross,
        goods_first=is_gross,
        line_based=line_based,
        reverses=found["reverses"],
    )
    return OrderReport(
        shop=found["shop"] or context.shop,
        kind=found["kind"] or "sale",
        refs=(order_ref(found["order_id"]),),
        refunds=(refund,),
        stub=True,
    )


def _check_currency(found: Mapping[str, Any], context: Context, errors: list[FieldError]) -> None:
    if found["currency"] is not None:
        try:
            exponent(found["currency"], context.currencies)
        except ValueError as error:
            errors.append(FieldError("currency", str(error), "unknown_currency"))


def _object(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise Invalid("the body must be a JSON object", code="not_an_object")
    return body


def refuse_fields(errors: Sequence[FieldError]) -> Invalid:
    """The error that names all of these fields."""
    return Invalid("; ".join(f"{error.field} {error.reason}" for error in errors[:10]), fields=tuple(errors))


def _lines(found: Sequence[dict[str, Any] | None] | None) -> tuple[OrderLine, ...]:
    lines = []
    for number, line in enumerate(found or (), start=1):
        if line is not None:
            line["id"] = line["id"] or str(number)
            line["quantity"] = 1 if line["quantity"] is None else line["quantity"]
            lines.append(OrderLine(**line))
    return tuple(lines)


def _customer(found: Mapping[str, Any] | None, context: Context) -> Customer:
    if found is None:
        return UNKNOWN_CUSTOMER
    return Customer(key=context.customer_key(found["id"], found["email"]), is_new=found["is_new"])
