"""The service's report against the demo's own books: every figure, in every breakdown by one dimension and by two."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from fractions import Fraction
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple
from urllib.parse import quote

from rich.progress import Progress

from app import clock
from demo.figures import Figures, same
from demo.ledger import ENTITIES, TIMES, Books, Key, Money
from demo.performance import Performance, in_parallel

SETTLE_TIMEOUT_S = 30.0
POLL_S = 0.5
NAMED_DIFFERENCES = 20
NAMELESS = "weak:"
"""What an order is called that a network reports by its click alone."""
ALONE = tuple((name,) for name in (*ENTITIES, *TIMES))
PAIRS = tuple(pair for pair in combinations((*ENTITIES, *TIMES), 2) if not set(pair) <= set(TIMES))
OF_A_SHOP = (
    ("influencer", "campaign"),
    ("campaign", "day"),
    ("collaboration", "week"),
    ("code", "month"),
    ("code", "day"),
    ("link", "day"),
)
"""What is asked of each shop by itself, every dimension once at least; of the brand every dimension and every pair is."""

BY_ORDER = (
    ("day",),
    ("influencer", "day"),
    ("code", "day"),
    ("link", "day"),
    ("campaign", "week"),
    ("collaboration", "month"),
)
"""What is asked again with every refund at the date of its order."""


class Asked(NamedTuple):
    """One report: of which shop (None: the brand), by what, and when refunds count."""

    shop: str | None
    groups: tuple[str, ...]
    refunds_by: str = "event"


async def read_report(
    show: Performance, groups: Sequence[str] = (), shop: str | None = None, refunds_by: str = "event"
) -> dict[str, Any]:
    """The service's own report over the days of the play."""
    query = (
        f"from={show.today - timedelta(days=3)}&to={show.today + timedelta(days=2)}&tz={quote(show.ledger.zone.key)}"
    )
    query += f"&refunds_by={refunds_by}"
    query += "".join(f"&group_by={group}" for group in groups) + (f"&shop={shop}" if shop else "")
    answer: dict[str, Any] = await show.call("GET", f"/v1/reports/summary?{query}")
    return answer


async def settle(show: Performance, progress: Progress) -> None:
    """Waits until the sums are those of the books, and no longer than SETTLE_TIMEOUT_S: what differs then is a difference."""
    task = progress.add_task("until all of it is counted", total=1)
    books, began = show.ledger.closed(), clock.monotonic_s()
    while clock.monotonic_s() - began < SETTLE_TIMEOUT_S:
        if not (compare_report("all", await read_report(show), books, ()) or await _rejected(show)):
            break
        await asyncio.sleep(POLL_S)
    progress.advance(task)


async def compare_all(show: Performance, shops: Iterable[str], progress: Progress) -> tuple[list[str], int]:
    """One sentence for each figure that differs, and how many figures were compared."""
    asked = [Asked(None, groups) for groups in ((), *ALONE, *PAIRS)]
    asked += [Asked(None, groups, "order") for groups in BY_ORDER]
    asked += [Asked(shop, groups) for shop in shops for groups in ((), *OF_A_SHOP)]
    books = {key: show.ledger.closed(*key) for key in {(each.shop, each.refunds_by) for each in asked}}
    differences: list[str] = await _rejected(show)
    compared = 0

    async def one(shop: str | None, groups: tuple[str, ...], refunds_by: str) -> None:
        nonlocal compared
        answer = await read_report(show, groups, shop, refunds_by)
        name = f"{shop or 'all'}, refunds by order" if refunds_by == "order" else shop or "all"
        found = compare_report(name, answer, books[shop, refunds_by], groups)
        compared += sum(len(row) - 2 for row in (*answer["rows"], answer["totals"]))
        differences.extend(found)

    task = progress.add_task("every figure, by one and by two", total=len(asked))
    await in_parallel([partial(one, *each) for each in asked], progress, task)
    return sorted(differences), compared


async def find_orders(show: Performance) -> list[str]:
    """Which orders are not what the books say, one sentence each: where to look when sums differ."""
    entries: dict[tuple[str, str], list[Money]] = {}
    for entry in show.ledger.money:
        if entry.order:
            entries.setdefault((entry.shop, entry.order), []).append(entry)
    found: list[str] = []
    seen: set[str] = set()
    for (shop, order), known in entries.items():
        page = await show.call("GET", f"/v1/conversions?shop={shop}&order_id={quote(order, safe='')}")
        seen |= {each["id"] for each in page["data"]}
        refunded = sum(entry.net_minor for entry in known if entry.refund)
        expected = (known[0].net_minor, refunded, known[0].currency, known[0].deal and known[0].deal.collaboration)
        if list(map(_shape, page["data"])) != [expected]:
            found.append(f"order {order} of {shop} is {list(map(_shape, page['data']))}, the books say {expected}")
    cursor = ""
    while cursor is not None:
        page = await show.call("GET", f"/v1/conversions?test=false&limit=100{cursor and f'&cursor={cursor}'}")
        cursor = page["next_cursor"]
        unknown = [each for each in page["data"] if each["id"] not in seen and each["status"] != "unverified"]
        found += [
            f"order {each['order_id']} of {each['shop']} is {_shape(each)}, and in no book"
            for each in unknown
            if not each["order_id"].startswith(NAMELESS)
        ]
    return sorted(found)


def _shape(order: Mapping[str, Any]) -> tuple[int, int, str, str | None]:
    """What an order is worth, and whose it is."""
    whose = [credit["collaboration_id"] for credit in order["attribution"]["credits"]]
    return order["net_minor"], order["refunded_minor"], order["currency"], whose[0] if whose else None


def compare_report(name: str, answer: Mapping[str, Any], books: Books, groups: Sequence[str]) -> list[str]:
    """One sentence for each figure of this report that is not what the books say."""
    totals = books.totals()
    found = differ(f"{name}: totals", totals.figures(), answer["totals"])
    found += differ(f"{name}: unattributed", books.unattributed().of_orders(), answer["unattributed"])
    found += differ(f"{name}: all orders", books.all_orders().of_orders(), answer["all_orders"])
    listed = {entry["currency"]: entry for entry in answer["unconverted"]}
    foreign = {currency: counted.figures() for currency, counted in books.foreign().items()}
    for currency in sorted({*foreign, *listed}):
        expected = {
            figure: foreign.get(currency, {}).get(figure, 0)
            for figure in ("conversions", "gross_minor", "refunds_minor")
        }
        found += differ(f"{name}: unconverted {currency}", expected, listed.get(currency, {}))
    if not groups:
        return found
    rows: dict[Key, Mapping[str, Any]] = {
        tuple(_part(row["key"][group]) for group in groups): row for row in answer["rows"]
    }
    expected_rows = books.rows(groups)
    nothing = books.nothing(groups)
    for key in sorted({*rows, *expected_rows}, key=str):
        where = ", ".join(f"{group} {value or '(unknown)'}" for group, value in zip(groups, key, strict=True))
        found += differ(f"{name}: {where}", expected_rows.get(key, nothing).figures(), rows.get(key, {}))
    if books.costs is not None:
        unsplit = {entry["metric"]: entry["value"] for entry in answer["unsplit"]}
        left = totals.cost_minor - sum(row.cost_minor for row in expected_rows.values())
        found += differ(f"{name}: unsplit by {' and '.join(groups)}", {"cost_minor": left}, unsplit)
    return found


def differ(where: str, expected: Figures, found: Mapping[str, Any]) -> list[str]:
    """A sentence for each figure that is not as expected. What is not there at all says nought of everything."""
    differences = []
    for name, figure in expected.items():
        got = found.get(name)
        if (not found and figure in (0, None)) or same(figure, got):
            continue
        shown = float(figure) if isinstance(figure, Fraction) else figure
        differences.append(f"{where}: {name} is {got}, the books say {shown}")
    return differences


async def _rejected(show: Performance) -> list[str]:
    """Messages that could not be read must be kept as such, one of each shop that sent one."""
    page = await show.call("GET", "/v1/deliveries?status=rejected&limit=100")
    shops = sorted(entry["shop"] for entry in page["data"])
    expected = sorted(show.unreadable)
    return [] if shops == expected else [f"rejected messages are of {shops}, the books say {expected}"]


def _part(part: Any) -> str | None:
    return part["id"] if isinstance(part, dict) else None if part is None else str(part)
