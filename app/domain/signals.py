"""The signals of an order, codes, clicks and visitor, each with the rank of the surest report that names it: `signals_of`. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from app.domain.codes import normalise
from app.domain.orders import OrderReport
from app.domain.trust import Rank, Ranked, Withheld


class Support(NamedTuple):
    """The rank of the surest report that names a signal, and why it is never used, or None."""

    rank: Rank = Rank.TRUSTED
    withheld: Withheld | None = None


TRUSTED = Support()


class Signals(msgspec.Struct, frozen=True):
    """Codes (folded) and clicks (as named) of an order with their support, the surest first; the codes of the shop system by its own ids."""

    codes: Mapping[str, Support]
    click_ids: Mapping[str, Support]
    code_ids: tuple[str, ...]
    visitor_id: str | None
    visitor: Support


NO_SIGNALS = Signals({}, {}, (), None, TRUSTED)


def signals_of(ranked: Sequence[Ranked]) -> Signals:
    """The signals of these reports, which are sorted by rank. Where a trusted report lists all codes of the order, unsigned ones are withheld,
    and of the lists from one place the newest holds.
    """
    current = _without_old_lists(ranked)
    lists_codes = len(current) < len(ranked) or any(_is_list(each) for each in current)
    codes = _named(current, _folded_codes, Withheld.CODES_LISTED if lists_codes else None)
    code_ids = [code_id for each in current if each.rank is Rank.TRUSTED for code_id in each.witness.report.code_ids]
    visiting = sorted(
        (each for each in ranked if each.witness.report.visitor_id is not None),
        key=lambda each: each.withheld is not None,
    )
    return Signals(
        codes=codes,
        click_ids=_named(ranked, _click_ids, None),
        code_ids=tuple(dict.fromkeys(code_ids)),
        visitor_id=visiting[0].witness.report.visitor_id if visiting else None,
        visitor=Support(visiting[0].rank, visiting[0].withheld) if visiting else TRUSTED,
    )


def counting(signals: Mapping[str, Support]) -> tuple[str, ...]:
    """The signals of the highest rank among those that are not withheld: the ones that an order is said to name."""
    usable = {name: support.rank for name, support in signals.items() if support.withheld is None}
    highest = max(usable.values(), default=Rank.OUTSIDE)
    return tuple(name for name, rank in usable.items() if rank is highest)


def _is_list(each: Ranked) -> bool:
    return each.rank is Rank.TRUSTED and each.witness.report.lists_codes


def _without_old_lists(ranked: Sequence[Ranked]) -> list[Ranked]:
    newest: dict[tuple[int, str, str], int] = {}
    for each in ranked:
        if _is_list(each):
            place, version = each.witness.place, each.witness.report.version
            newest[place] = max(version, newest.get(place, version))
    if not newest:
        return list(ranked)
    return [each for each in ranked if not _is_list(each) or each.witness.report.version == newest[each.witness.place]]


def _named(
    ranked: Sequence[Ranked], names: Callable[[OrderReport], Iterable[str]], unsigned_withheld: Withheld | None
) -> dict[str, Support]:
    found: dict[str, Support] = {}
    for each in ranked:
        withheld = each.withheld or (None if each.rank is Rank.TRUSTED else unsigned_withheld)
        for name in names(each.witness.report):
            if name not in found or (found[name].withheld is not None and withheld is None):
                found[name] = Support(each.rank, withheld)
    return found


def _folded_codes(report: OrderReport) -> Iterable[str]:
    return filter(None, map(normalise, report.codes))


def _click_ids(report: OrderReport) -> Iterable[str]:
    return report.click_ids
