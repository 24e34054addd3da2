"""Single values of a message, read through a mapping: texts, times, amounts, yes or no; and why a value cannot be used."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from msgspec import UNSET

from app.domain import money
from app.domain.ids import EPOCH
from app.domain.orders import LINES_MAX
from app.domain.placeholders import UNFILLED, Unfilled, read_id
from app.domain.printed import is_rounded
from app.domain.strict_json import EARLIEST, LATEST, Unreadable, read_exact, read_text, read_time
from app.platforms.generic import pointers
from app.platforms.generic.mapping import Condition, Value, places
from app.platforms.generic.mapping import Mapping as Table

DIGITS_MAX = 18
YES = frozenset({"true", "1", "yes"})
NO = frozenset({"false", "0", "no"})

T = TypeVar("T")


class FoundValue(NamedTuple):
    """A value and the place where it stood."""

    place: str
    value: object


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads fields of one object: the whole body, or one element of a list in it (`where` says which, `whole` is the body then). declared: the brand's
    currencies. rounded: is added to where an amount has more decimals than its currency."""

    table: Table
    root: object
    headers: Mapping[str, str]
    unfound: list[tuple[str, str]]
    where: str = ""
    declared: money.Decimals = field(default_factory=dict)
    whole: object = None
    rounded: list[str] = field(default_factory=list)

    def find(self, name: str, field: Any) -> list[FoundValue]:
        """The values at the first place that holds any; an empty text is no value."""
        if field is UNSET:
            return []
        for place in places(field):
            if found := self._at(place):
                return found
        if isinstance(field, Value) and field.const is not UNSET:
            return [FoundValue("const", field.const)]
        self.unfound.append((name, "; ".join(map(self.gap, places(field)))))
        return []

    def _at(self, place: str) -> list[FoundValue]:
        try:
            found = [value for value in pointers.find(self._start(place), self.headers, place) if value != ""]
        except pointers.TooManyMatches as error:
            raise Unreadable("too_many", str(error)) from None
        except ValueError as error:
            raise Unreadable("bad_mapping", f"{place} {error}") from None
        where = "" if place.startswith(pointers.TOP) else self.where
        return [FoundValue(f"{where}{place}", value) for value in found]

    def _start(self, place: str) -> object:
        return self.whole if self.where and place.startswith(pointers.TOP) else self.root

    def gap(self, place: str) -> str:
        """Why there is no value at a place, or which."""
        try:
            reason = pointers.gap(self._start(place), place)
        except ValueError as error:
            reason = f"{place} {error}"
        return f"in {self.where}: {reason}" if self.where else reason

    def need(self, name: str) -> Unreadable:
        """The error for a required field that has no value."""
        gaps = (gap for unfound, gap in reversed(self.unfound) if unfound == name)
        why = next(gaps, "the mapping says nowhere where it stands")
        return Unreadable("missing_value", f"{name}: {why}")

    def holds(self, conditions: Sequence[Condition]) -> bool:
        """Whether all conditions hold."""
        return all(self._one_holds(each) for each in conditions)

    def _one_holds(self, condition: Condition) -> bool:
        found = self.find("when", condition)
        if condition.equals is UNSET:
            return bool(found) == (condition.present is True)
        words = condition.equals if isinstance(condition.equals, list) else [condition.equals]
        return any(pointers.same(each.value, word) for each in found for word in words)

    def elements(self, name: str, place: str) -> list["Reader"]:
        """A reader for each value of a list."""
        found = self.find(name, place)
        if len(found) == 1 and isinstance(found[0].value, list):
            # The list itself was named, not its elements.
            found = [FoundValue(place, value) for value in found[0].value]
        if len(found) > LINES_MAX:
            raise Unreadable("too_many", f"{name}: {place} finds more than {LINES_MAX} values")
        whole = self.whole if self.where else self.root
        return [
            Reader(
                self.table,
                each.value,
                self.headers,
                self.unfound,
                f"{self.where}{place} ({number}): ",
                self.declared,
                whole,
                self.rounded,
            )
            for number, each in enumerate(found, 1)
        ]

    def texts(self, name: str, field: Any) -> list[str]:
        """Every value as a text."""
        return [read_as(each, read_text, "a text") for each in self.find(name, field)]

    def ids(self, name: str, field: Any) -> list[str]:
        """Every value as a text that names something."""
        return [read_as(each, read_id, "a text") for each in self.find(name, field)]

    def id(self, name: str, field: Any) -> str | None:
        """The first value as a text that names something."""
        return next(iter(self.ids(name, field)), None)

    def text(self, name: str, field: Any) -> str | None:
        """The first value as a text."""
        return next(iter(self.texts(name, field)), None)

    def flag(self, name: str, field: Any) -> bool | None:
        """Yes or no."""
        found = self.find(name, field)
        if not found:
            return None
        if isinstance(field, Value) and field.equals is not UNSET:
            return any(pointers.same(each.value, word) for each in found for word in field.equals)
        return read_as(found[0], _flag, "true or false (or say in `equals` what means true)")

    def moment(self, name: str, field: Any) -> datetime | None:
        """A time, as UTC."""
        found = self.find(name, field)
        if not found:
            return None
        form, zone = self.table.times, None
        if isinstance(field, Value):
            form = form if field.time is UNSET else field.time
            zone = None if field.zone is UNSET else field.zone
        if form == "rfc3339":
            return read_as(found[0], lambda value: _time(value, zone), "a time")
        return read_as(found[0], lambda value: _unix(value, milliseconds=form == "unix_ms"), f"a time as {form}")

    def amount(self, name: str, field: Any, currency: str) -> int | None:
        """An amount in our minor units, the sum where there are several; with what the field adds to it and takes off."""
        unit, negate, terms = self.table.amounts, False, [(1, self.find(name, field))]
        if isinstance(field, Value):
            unit, negate = unit if field.unit is UNSET else field.unit, field.negate
            if field.at is not UNSET and not terms[0][1]:
                # What is added to an amount that is missing is another amount.
                return None
            for sign, more in ((1, field.plus), (-1, field.minus)):
                terms += [] if more is UNSET else [(sign, self._at(place)) for place in more]
        found = [each for _, values in terms for each in values]
        if not found:
            return None
        read = self._minor if unit == "minor" else self._major
        expected = f"an amount in {unit} units, such as {'4990' if unit == 'minor' else '49.90'}"
        total = sum(
            sign * read_as(each, lambda value: read(value, currency), expected)
            for sign, values in terms
            for each in values
        )
        total = -total if negate else total
        if not 0 <= total <= money.AMOUNT_MINOR_MAX:
            if len(found) > 1:
                raise Unreadable(
                    "wrong_value", f"{name} adds up to {total} (in minor units): an amount of 0 or more is expected"
                )
            hint = "; `negate` turns the sign" if total < 0 else ""
            raise _wrong(found[0], f"an amount of 0 or more is expected{hint}")
        return total

    def _major(self, value: object, currency: str) -> int:
        decimals = money.exponent(currency, self.declared)
        return self._rounded(read_exact(value, currency, decimals), decimals)

    def _minor(self, value: object, currency: str) -> int:
        """An amount in the minor units of this checkout, in ours."""
        own = money.exponent(currency, self.declared)
        return self._rounded(Decimal(whole(value)).scaleb(-self.table.decimals.get(currency, own)), own)

    def _rounded(self, exact: Decimal, decimals: int) -> int:
        if is_rounded(exact, decimals):
            self.rounded.append(str(exact))
        return money.minor_units(exact, decimals)


def read_as(found: FoundValue, read: Callable[[object], T], expected: str) -> T:
    """The value as `read` understands it. Unreadable with its place, what stood there and what was expected."""
    try:
        return read(found.value)
    except Unfilled as error:
        raise Unreadable(UNFILLED, f"{found.place} {error}") from None
    except (ValueError, ArithmeticError) as error:
        raise _wrong(found, f"{expected} is expected ({error})") from None


def _wrong(found: FoundValue, expected: str) -> Unreadable:
    return Unreadable("wrong_value", f"{found.place} is {pointers.shown(found.value)}: {expected}")


def whole(value: object) -> int:
    """A whole number, also as a text or as 12.0. ValueError for anything else."""
    if isinstance(value, str):
        text = value.strip()
        if not (text.removeprefix("-").isdigit() and text.isascii() and len(text) <= DIGITS_MAX):
            raise ValueError("must be a whole number")
        return int(text)
    # A whole number may be written 4990.0.
    if isinstance(value, Decimal) and value.is_finite() and abs(value) < 10**DIGITS_MAX and value == int(value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a whole number")
    if abs(value) >= 10**DIGITS_MAX:
        raise ValueError("is absurdly large")
    return value


def _flag(value: object) -> bool:
    text = pointers.shown(value).strip('"').lower()
    if text not in YES | NO:
        raise ValueError("it is neither")
    return text in YES


def _time(value: object, zone: str | None) -> datetime:
    """RFC 3339; a time without a zone is in the one that the mapping names."""
    try:
        return read_time(value)
    except ValueError:
        if zone is None or not isinstance(value, str):
            raise
    try:
        local = datetime.fromisoformat(value.strip())
        aware = local if local.tzinfo else local.replace(tzinfo=ZoneInfo(zone))
        return read_time(aware.isoformat())
    except (OSError, KeyError, OverflowError):
        raise ValueError("is not a moment of the calendar, or its zone is unknown") from None


def _unix(value: object, *, milliseconds: bool) -> datetime:
    exact = Decimal(value) if isinstance(value, Decimal) and value.is_finite() else Decimal(whole(value))
    if not 0 <= exact < 10**DIGITS_MAX:
        raise ValueError("must lie between the years 2000 and 2100")
    micros = int(exact * (1_000 if milliseconds else 1_000_000))
    try:
        moment = EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        moment = LATEST
    if not EARLIEST <= moment < LATEST:
        raise ValueError("must lie between the years 2000 and 2100")
    return moment
