"""Which reports speak of one order, by the names they give it: `group`. Pure, and independent of the order of arrival.

A shop system calls each of its orders by an id of its own, the primary name; everybody else (pixel, API, payment system) calls it by that id or by
its number. Two primary names are two orders, whatever else they share. So a number that two of them claim means neither: what gives no other name
is an order of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from app.domain.orders import OrderReport

PRIMARY, AMBIGUOUS = "=", "?"
"""How the names begin that only this service gives: an order's id in its shop system, and the order of all that gives an ambiguous name alone."""


class Naming(NamedTuple):
    """The names that one report gives its order, the surest first; never empty. primary: its id in the shop system that sent the report."""

    names: tuple[str, ...]
    primary: str | None = None


def naming_of(report: OrderReport) -> Naming:
    """The names of a report as they are looked up; the primary name first, where a shop system sent it."""
    names = tuple(dict.fromkeys(ref.lstrip(PRIMARY + AMBIGUOUS) or "-" for ref in report.refs))
    return read_naming((f"{PRIMARY}{report.system}:{names[0]}", *names) if report.system else names)


def read_naming(names: Sequence[str]) -> Naming:
    """The naming that these names were stored of."""
    return Naming(tuple(names), names[0] if names[0].startswith(PRIMARY) else None)


class Grouping(NamedTuple):
    """Groups of reports, one for each order.

    groups: of each report, in the order given. owners: the group that each name leads to; an ambiguous name leads to the group of what gives no
    other. A group is called by its primary name, or else by the least of its names. ambiguous: names that mean more than one order.
    """

    groups: tuple[str, ...]
    owners: Mapping[str, str]
    ambiguous: frozenset[str]


def group(namings: Sequence[Naming], ambiguous: Iterable[str] = ()) -> Grouping:
    """The orders that these reports speak of; none for no reports. ambiguous: names of which other reports have shown that they mean several orders.

    A name belongs to the order whose shop system gives it. A report of somebody else belongs to the order of its first such name, and its other
    names belong to that order too, unless reports of another order give them as well. Reports that share none with a shop system's are joined by
    the names they share.
    """
    claims = {name: {PRIMARY, AMBIGUOUS} for name in ambiguous}
    for each in namings:
        if each.primary is not None:
            for name in each.names:
                claims.setdefault(name, set()).add(each.primary)
    found = [each.primary for each in namings]
    meant = _spread(namings, found, claims)
    several = frozenset(name for name, orders in meant.items() if len(orders) > 1)
    owners = {name: next(iter(orders)) for name, orders in meant.items() if len(orders) == 1}
    rest = [index for index, order in enumerate(found) if order is None]
    heads = _joined(_joining(namings[index].names, several) for index in rest)
    for index in rest:
        found[index] = heads[_joining(namings[index].names, several)[0]]
    return Grouping(tuple(order or "" for order in found), {**heads, **owners}, several)


def _spread(namings: Sequence[Naming], found: list[str | None], claims: dict[str, set[str]]) -> dict[str, set[str]]:
    """Fills in the orders of the reports that a chain of names leads to from a shop system's, and returns the orders that each name means.

    In rounds, each from the outcome of the one before: within a round no report comes first, so the sequence of reports cannot matter.
    """
    meant = dict(claims)
    while True:
        joined: dict[int, str] = {}
        for index, each in enumerate(namings):
            if found[index] is None:
                clear = [meant[name] for name in each.names if len(meant.get(name, ())) == 1]
                if clear:
                    joined[index] = next(iter(clear[0]))
        if not joined:
            return meant
        learned: dict[str, set[str]] = {}
        for index, order in joined.items():
            found[index] = order
            for name in namings[index].names:
                if name not in meant:
                    learned.setdefault(name, set()).add(order)
        meant.update(learned)


def _joining(names: tuple[str, ...], ambiguous: frozenset[str]) -> tuple[str, ...]:
    """The names by which a report may be joined to others: all that mean one order; where there is none, its first."""
    return tuple(name for name in names if name not in ambiguous) or names[:1]


def _joined(reports: Iterable[tuple[str, ...]]) -> dict[str, str]:
    """The least name of each name's group: names in one report, or joined by a chain of reports, are of one group."""
    parent: dict[str, str] = {}

    def head(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for names in reports:
        for name in names:
            first, second = sorted((head(names[0]), head(name)))
            parent[second] = first
    return {name: head(name) for name in list(parent)}
