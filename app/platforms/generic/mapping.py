"""The content of `settings.mapping`: which messages are orders or refunds, and where in them each field stands.

A mapping is a list of rules; the first whose conditions hold reads the message. A field is a place (`"/data/id"`, see `pointers`), several of them in
order of preference (`["/data/billed_at", "/data/created_at"]`), or an object that says more: a constant, a unit, a time zone.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from app.domain.money import read_currency
from app.platforms.generic import pointers

RULES_MAX = 20
CONDITIONS_MAX = 10
ALTERNATIVES_MAX = 10
REFUND_LISTS_MAX = 5
WORDS_MAX = 50
DECIMALS_MAX = 4
MAPPING_BYTES_MAX = 20_000
SYSTEM_PATTERN = "^[a-z][a-z0-9_]{0,39}$"

Unit = Literal["minor", "major"]
TimeForm = Literal["rfc3339", "unix_s", "unix_ms"]
Scalar = str | int | bool
Place = Annotated[str, Meta(max_length=pointers.POINTER_CHARACTERS_MAX, examples=["/data/id", "/items/*/sku"])]
Places = Place | Annotated[list[Place], Meta(min_length=1, max_length=ALTERNATIVES_MAX)]
Terms = Annotated[list[Place], Meta(min_length=1, max_length=ALTERNATIVES_MAX)]
Words = Annotated[list[Scalar], Meta(min_length=1, max_length=WORDS_MAX)]


class Value(Struct, frozen=True, forbid_unknown_fields=True):
    """A field that needs more than a place."""

    at: Places | UnsetType = UNSET
    const: Annotated[
        Scalar | UnsetType, Meta(description="Always this; where `at` finds nothing, if both are given.")
    ] = UNSET
    plus: Annotated[Terms | UnsetType, Meta(description="Of an amount: what stands here is added.")] = UNSET
    minus: Annotated[Terms | UnsetType, Meta(description="Of an amount: what stands here is taken off.")] = UNSET
    unit: Annotated[Unit | UnsetType, Meta(description="Of this amount, where it differs from `amounts`.")] = UNSET
    negate: Annotated[bool, Meta(description="The amount is written with the other sign, as some refunds are.")] = False
    time: Annotated[
        TimeForm | UnsetType, Meta(description="How this time is written, where it differs from `times`.")
    ] = UNSET
    zone: Annotated[
        Annotated[str, Meta(max_length=64)] | UnsetType,
        Meta(description="The time zone of times without one, such as UTC or Europe/Paris."),
    ] = UNSET
    equals: Annotated[
        Words | UnsetType,
        Meta(description="For yes or no: yes when one of these stands there, no when something else does."),
    ] = UNSET


Field = Place | Annotated[list[Place], Meta(min_length=1, max_length=ALTERNATIVES_MAX)] | Value
MaybeField = Field | UnsetType


class Condition(Struct, frozen=True, forbid_unknown_fields=True):
    """Holds when one of `equals` stands at a place; with `present` alone: when anything but null stands there, or nothing."""

    at: Places
    equals: Scalar | Words | UnsetType = UNSET
    present: bool | UnsetType = UNSET


class Amounts(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Money of an order, a refund or a line: `net`, or what it follows from. Several values at one place are added up."""

    net: Annotated[MaybeField, Meta(description="After discount, before tax and shipping.")] = UNSET
    items: Annotated[MaybeField, Meta(description="Goods before discount; net is items − discount.")] = UNSET
    discount: MaybeField = UNSET
    total: Annotated[
        MaybeField,
        Meta(description="What was paid; net is total − tax − shipping. A const of 0 says that there is none."),
    ] = UNSET
    tax: MaybeField = UNSET
    shipping: MaybeField = UNSET


class LineFields(Amounts, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The lines: one for every value that `each` finds; the other places begin at that value."""

    each: Place
    id: Annotated[MaybeField, Meta(description="Its position by default.")] = UNSET
    quantity: Annotated[MaybeField, Meta(description="1 by default.")] = UNSET
    sku: MaybeField = UNSET
    name: MaybeField = UNSET


Gross = Annotated[
    MaybeField,
    Meta(
        description="What was paid back, with tax: goods first, then shipping, each with its own. The order must say its tax."
    ),
]


class RefundFields(Amounts, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Refunds that an order's message holds: one for every value that `each` finds; the other places begin at that value."""

    each: Place
    refund_id: Field
    when: Annotated[list[Condition], Meta(max_length=CONDITIONS_MAX, description="Others in the list are let be.")] = (
        msgspec.field(default_factory=list)
    )
    gross: Gross = UNSET
    lines: LineFields | UnsetType = UNSET
    occurred_at: MaybeField = UNSET
    updated_at: Annotated[MaybeField, Meta(description="That of the message by default.")] = UNSET


class OriginFields(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When an order is a later one of a subscription, else when it is its first; otherwise it is not known."""

    renewal: Annotated[list[Condition], Meta(min_length=1, max_length=CONDITIONS_MAX)] | UnsetType = UNSET
    first: Annotated[list[Condition], Meta(min_length=1, max_length=CONDITIONS_MAX)] | UnsetType = UNSET


class Rule(Amounts, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One kind of message, and its fields."""

    read: Annotated[
        Literal["order", "refund", "cancellation", "chargeback", "reversal", "ignored"],
        Meta(description="A reversal gives back what a refund or chargeback took."),
    ]
    when: Annotated[list[Condition], Meta(max_length=CONDITIONS_MAX, description="All of them must hold.")] = (
        msgspec.field(default_factory=list)
    )
    order_id: MaybeField = UNSET
    refs: Annotated[MaybeField, Meta(description="Other names of the order: its number, its cart.")] = UNSET
    proofs: Annotated[
        MaybeField,
        Meta(
            description="Names of the order that strangers cannot guess, such as the key in the address of its thank-you page: a pixel that carries one "
            "as `checkout_token`, `order_key` or `session_id` is about this order."
        ),
    ] = UNSET
    kind: Annotated[MaybeField, Meta(description="`sale` by default.")] = UNSET
    occurred_at: MaybeField = UNSET
    updated_at: Annotated[MaybeField, Meta(description="Tells which of two messages about one thing is newer.")] = UNSET
    currency: Annotated[MaybeField, Meta(description="The brand's by default.")] = UNSET
    codes: Annotated[MaybeField, Meta(description="Every value found is a code.")] = UNSET
    lists_codes: Annotated[
        MaybeField,
        Meta(
            description="Where a list stands there, even an empty one, `codes` are all codes of the order, and a pixel can add none."
        ),
    ] = UNSET
    click_id: Annotated[
        MaybeField, Meta(description="The id itself, or the address of the landing page that held it.")
    ] = UNSET
    visitor_id: MaybeField = UNSET
    customer_id: MaybeField = UNSET
    customer_email: MaybeField = UNSET
    new_customer: MaybeField = UNSET
    paid: MaybeField = UNSET
    test: MaybeField = UNSET
    origin: Annotated[
        OriginFields | UnsetType, Meta(description="Whether an order is the `first` of a subscription or a `renewal`.")
    ] = UNSET
    cancelled: Annotated[MaybeField, Meta(description="Of an order: yes takes back what is left of it.")] = UNSET
    lines: LineFields | UnsetType = UNSET
    refunds: (
        RefundFields
        | Annotated[list[RefundFields], Meta(min_length=1, max_length=REFUND_LISTS_MAX, description="Several lists.")]
        | UnsetType
    ) = UNSET
    shipping_tax: Annotated[
        MaybeField,
        Meta(description="The part of `tax` that is of shipping; without it shipping has the rate of the goods."),
    ] = UNSET
    gross: Gross = UNSET
    refund_id: MaybeField = UNSET
    full: Annotated[MaybeField, Meta(description="Of a refund: yes means all that is left.")] = UNSET


class Mapping(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole of `settings.mapping`."""

    amounts: Annotated[
        Unit, Meta(description="How amounts are written: 4990 and 49.90 euros are minor and major units.")
    ]
    rules: Annotated[list[Rule], Meta(min_length=1, max_length=RULES_MAX)]
    times: TimeForm = "rfc3339"
    decimals: Annotated[
        dict[str, Annotated[int, Meta(ge=0, le=DECIMALS_MAX)]],
        Meta(description="Decimals of minor units by currency, where this checkout counts otherwise than ISO 4217."),
    ] = msgspec.field(default_factory=dict)
    each: Annotated[
        Place | UnsetType,
        Meta(description="Where a message holds several orders or refunds: the rules read each value found here."),
    ] = UNSET
    topic: Annotated[MaybeField, Meta(description="What a delivery is called in lists.")] = UNSET
    system: Annotated[
        Annotated[str, Meta(pattern=SYSTEM_PATTERN)] | UnsetType,
        Meta(
            description="The shop system that sends these messages, as a word, where `order_id` is its own id of the order: two ids are then two orders, "
            "whatever number they share."
        ),
    ] = UNSET


ORDER_ONLY = frozenset(
    {"proofs", "lists_codes", "codes", "click_id", "visitor_id", "customer_id", "customer_email", "new_customer", "paid", "test", "cancelled", "refunds",
     "origin", "shipping_tax"}
)  # fmt: skip
REFUND_ONLY = frozenset({"refund_id", "full", "gross"})
MONEY = frozenset({"net", "items", "total"})
"""Fields of which any gives the amount."""
GIVEN_BACK = MONEY | {"gross", "lines"}
"""Fields of which any says what a refund gave back."""
AMOUNTS = frozenset({*Amounts.__struct_fields__, "gross", "shipping_tax"})
GROUPED = frozenset({"read", "when", "each", "lines", "refunds", "origin"})
"""Members of a rule or group that are no fields with a place of their own."""


def read_mapping(given: object) -> Mapping:
    """The mapping in `settings.mapping`. ValueError (msgspec's names the place) for an unknown field or a wrong type."""
    try:
        return msgspec.convert(given, Mapping)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def given_fields(group: Struct) -> Iterator[tuple[str, Any]]:
    """The fields of a rule or group that are set, with their values."""
    for name in group.__struct_fields__:
        value = getattr(group, name)
        if value is not UNSET:
            yield name, value


def places(field: Any) -> list[str]:
    """The places of a field, the preferred first."""
    if isinstance(field, OriginFields):
        return [place for _, conditions in given_fields(field) for each in conditions for place in places(each)]
    if isinstance(field, Value | Condition):
        return [] if field.at is UNSET else places(field.at)
    return [field] if isinstance(field, str) else list(field)


def all_places(field: Any) -> list[str]:
    """The places of a field, with those that are added to it or taken off."""
    terms = [each for each in (field.plus, field.minus) if each is not UNSET] if isinstance(field, Value) else []
    return [*places(field), *(place for each in terms for place in each)]


def fields_of(group: Struct) -> Iterator[tuple[str, Any]]:
    """The fields of a rule or group that have places, without the groups in it."""
    return ((name, value) for name, value in given_fields(group) if name not in GROUPED)


def refund_lists(rule: Rule) -> list[RefundFields]:
    """The lists of refunds in an order's message."""
    if rule.refunds is UNSET:
        return []
    return [rule.refunds] if isinstance(rule.refunds, RefundFields) else rule.refunds


def groups(rule: Rule) -> Iterator[tuple[str, LineFields | RefundFields, str]]:
    """The lists of a rule, also those in its refunds, each with its path in the rule and the place in a message where its own places begin."""
    if rule.lines is not UNSET:
        yield "lines", rule.lines, rule.lines.each
    for index, refunds in enumerate(refund_lists(rule)):
        path = "refunds" if isinstance(rule.refunds, RefundFields) else f"refunds.{index}"
        yield path, refunds, refunds.each
        if refunds.lines is not UNSET:
            yield f"{path}.lines", refunds.lines, pointers.within(refunds.each, refunds.lines.each)


def faults(mapping: Mapping) -> Iterator[tuple[str, str]]:
    """The faults of a mapping: (path, what would be right)."""
    for currency in mapping.decimals:
        try:
            read_currency(currency)
        except ValueError as error:
            yield f"decimals.{currency[:10]}", str(error)
    if mapping.each is not UNSET:
        yield from _place_faults("each", [mapping.each])
    if mapping.topic is not UNSET:
        yield from _field_faults("topic", mapping.topic)
    for index, rule in enumerate(mapping.rules):
        yield from _rule_faults(f"rules.{index}", rule)


def _rule_faults(path: str, rule: Rule) -> Iterator[tuple[str, str]]:
    yield from _condition_faults(f"{path}.when", rule.when)
    fields = {name for name, _ in given_fields(rule)} - {"read", "when"}
    if rule.read == "ignored":
        for name in sorted(fields):
            yield f"{path}.{name}", "means nothing in a rule that ignores"
        return
    for name in sorted(fields & (REFUND_ONLY if rule.read == "order" else ORDER_ONLY)):
        yield f"{path}.{name}", f"means nothing in a rule that reads a{'n' if rule.read == 'order' else ''} {rule.read}"
    if rule.order_id is UNSET:
        yield f"{path}.order_id", "is required: without it nothing can be recorded"
    if rule.read in ("refund", "chargeback", "reversal"):
        if rule.refund_id is UNSET:
            yield f"{path}.refund_id", "is required: the same refund told twice must be one"
        if not fields & (GIVEN_BACK | {"full"}):
            yield f"{path}.net", f"is required (or {HOW_MUCH}, full): how much was given back"
    for name, field in fields_of(rule):
        yield from _field_faults(f"{path}.{name}", field)
    if rule.origin is not UNSET:
        for origin, conditions in given_fields(rule.origin):
            yield from _condition_faults(f"{path}.origin.{origin}", conditions)
    for name, group, _ in groups(rule):
        yield from _place_faults(f"{path}.{name}.each", [group.each])
        for inner, value in fields_of(group):
            yield from _field_faults(f"{path}.{name}.{inner}", value)
        if isinstance(group, RefundFields):
            yield from _condition_faults(f"{path}.{name}.when", group.when)
            if not {inner for inner, _ in given_fields(group)} & GIVEN_BACK:
                yield f"{path}.{name}.net", f"is required (or {HOW_MUCH}): how much was given back"


def _condition_faults(path: str, conditions: list[Condition]) -> Iterator[tuple[str, str]]:
    for index, condition in enumerate(conditions):
        yield from _place_faults(f"{path}.{index}.at", places(condition))
        if (condition.equals is UNSET) == (condition.present is UNSET):
            yield f"{path}.{index}", "give either equals or present"


HOW_MUCH = "items, total, gross, lines"


def _field_faults(path: str, field: Any) -> Iterator[tuple[str, str]]:
    yield from _place_faults(path, all_places(field))
    if not isinstance(field, Value):
        return
    if len(all_places(field)) > len(places(field)) and path.rpartition(".")[2] not in AMOUNTS:
        yield path, "is no amount: plus and minus have nothing to add up"
    if not all_places(field) and field.const is UNSET:
        yield path, "needs at (where it stands) or const (what it always is)"
    if field.zone is not UNSET:
        try:
            ZoneInfo(field.zone)
        except (ValueError, OSError, KeyError):
            yield f"{path}.zone", "is not a time zone of the IANA list, such as Europe/Paris"


def _place_faults(path: str, given: list[str]) -> Iterator[tuple[str, str]]:
    for place in given:
        try:
            pointers.check(place)
        except ValueError as error:
            yield path, f"{place[:60]!r} {error}"
