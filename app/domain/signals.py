"""The signals of an order, codes, clicks and visitor, each with the rank of the surest report that names it: `signals_of`. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from app.domain.codes import normalise
from app.domain.orders import OrderReport, read_click
from app.domain.trust import Rank, Ranked, Withheld


class Support(NamedTuple):
    """The rank of the surest report that names a signal, and why it is never used, or None."""

    rank: Rank = Rank.TRUSTED
    withheld: Withheld | None = None


TRUSTED = Support()


def surer(one: Support, other: Support) -> Support:
    """The support that counts of two for one signal; the first where they are alike."""
    return max(one, other, key=lambda each: (each.withheld is None, each.rank))


class Signals(msgspec.Struct, frozen=True):
    """Codes (folded) and clicks (as named) of an order with their support, the surest first; the codes of the shop system by its own ids."""

    codes: Mapping[str, Support]
    click_ids: Mapping[str, Support]
    code_ids: tuple[str, ...]
    visitor_id: str | None
    visitor: Support


NO_SIGNALS = Signals({}, {}, (), None, TRUSTED)


def signals_of(ranked: Sequence[Ranked], overclaimed: Collection[str] = ()) -> Signals:
    """The signals of these reports, which are sorted by rank. Where a trusted report lists all codes of the order, unsigned ones are withheld,
    and what the newest list of a source does not name, its older messages have named in vain.

    overclaimed: those of `claims_of` that claim too many orders, which are withheld.
    """
    current = _without_old_lists(ranked)
    lists_codes = any(map(_is_list, current))
    codes = _named(current, _folded_codes, Withheld.CODES_LISTED if lists_codes else None)
    code_ids = [code_id for each in current if each.rank is Rank.TRUSTED for code_id in each.witness.report.code_ids]
    visiting = sorted(
        (each for each in ranked if each.witness.report.visitor_id is not None),
        key=lambda each: each.withheld is not None,
    )
    found = Signals(
        codes=codes,
        click_ids=_named(ranked, _click_ids, None),
        code_ids=tuple(dict.fromkeys(code_ids)),
        visitor_id=visiting[0].witness.report.visitor_id if visiting else None,
        visitor=Support(visiting[0].rank, visiting[0].withheld) if visiting else TRUSTED,
    )
    return _without(found, overclaimed) if overclaimed else found


def claims_of(signals: Signals) -> tuple[str, ...]:
    """What claims an order by number alone: its codes, clicks and visitor, by their names in `order_touch`; sorted. Names that are no clicks of
    ours claim nothing.
    """
    named = {_code_touch(code) for code, support in signals.codes.items() if _is_claim(support)}
    named.update(_click_touch(name) for name, support in signals.click_ids.items() if _is_claim(support))
    if signals.visitor_id is not None and _is_claim(signals.visitor):
        named.add(_visitor_touch(signals.visitor_id))
    return tuple(sorted(named - {""}))


def _is_claim(support: Support) -> bool:
    return support.rank is Rank.NUMBER and support.withheld is None


def _code_touch(code: str) -> str:
    return f"code:{code}"


def _click_touch(name: str) -> str:
    click_id = read_click(name)
    return "" if click_id is None else f"click:{click_id}"


def _visitor_touch(visitor_id: str) -> str:
    return f"visitor:{visitor_id}"


def _without(signals: Signals, overclaimed: Collection[str]) -> Signals:
    def judged(support: Support, touch: str) -> Support:
        is_over = touch in overclaimed and _is_claim(support)
        return Support(support.rank, Withheld.TOO_MANY_CLAIMS) if is_over else support

    return replace(
        signals,
        codes={code: judged(support, _code_touch(code)) for code, support in signals.codes.items()},
        click_ids={name: judged(support, _click_touch(name)) for name, support in signals.click_ids.items()},
        visitor=judged(signals.visitor, _visitor_touch(signals.visitor_id)) if signals.visitor_id else signals.visitor,
    )


def counting(signals: Mapping[str, Support]) -> tuple[str, ...]:
    """The signals of the highest rank among those that are not withheld: the ones that an order is said to name."""
    if all(support is TRUSTED for support in signals.values()):
        return tuple(signals)
    usable = {name: support.rank for name, support in signals.items() if support.withheld is None}
    highest = max(usable.values(), default=Rank.OUTSIDE)
    return tuple(name for name, rank in usable.items() if rank is highest)


def _is_list(each: Ranked) -> bool:
    return each.rank is Rank.TRUSTED and each.witness.report.lists_codes


def _without_old_lists(ranked: Sequence[Ranked]) -> list[Ranked]:
    """The reports without those whose codes a newer list of their source has replaced: older lists, and older messages of the shop system's own."""
    newest: dict[tuple[object, ...], int] = {}
    for each in ranked:
        if _is_list(each):
            version = each.witness.report.version
            newest[_source(each)] = max(version, newest.get(_source(each), version))
    if not newest:
        return list(ranked)
    return [
        each
        for each in ranked
        if not (_is_list(each) or (each.rank is Rank.TRUSTED and each.witness.report.system is not None))
        or each.witness.report.version >= newest.get(_source(each), each.witness.report.version)
    ]


def _source(each: Ranked) -> tuple[object, ...]:
    """Where a report comes from. A shop system is one source in its shop, also when it was connected anew; of others each source has its own."""
    return *each.witness.place, each.witness.report.system or each.witness.origin_id


def _named(
    ranked: Sequence[Ranked], names: Callable[[OrderReport], Iterable[str]], unsigned_withheld: Withheld | None
) -> dict[str, Support]:
    found: dict[str, Support] = {}
    for each in ranked:
        withheld = each.withheld or (None if each.rank is Rank.TRUSTED else unsigned_withheld)
        for name in names(each.witness.report):
            if name not in found or (found[name].withheld is not None and withheld is None):
                found[name] = (
                    TRUSTED if each.rank is Rank.TRUSTED and withheld is None else Support(each.rank, withheld)
                )
    return found


def _folded_codes(report: OrderReport) -> Iterable[str]:
    return filter(None, map(normalise, report.codes))


def _click_ids(report: OrderReport) -> Iterable[str]:
    return report.click_ids
