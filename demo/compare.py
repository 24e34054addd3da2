"""Compares the service's reports with the demo's books: every figure, in every breakdown by one dimension and by two."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from fractions import Fraction
from functools import partial
from itertools import combinations
from typing import Any
from urllib.parse import quote

from rich.progress import Progress

from demo import clock
from demo.figures import Figures, figures, order_figures, same
from demo.ledger import ENTITIES, TIMES, BookedOrder, Key, Ledger, Query
from demo.run import Run, in_parallel

REPORT_TIMEOUT_S = 30.0
POLL_S = 0.5
DIFFERENCES_SHOWN_MAX = 20
NAMELESS = "weak:"
"""The prefix of the order ids that the service gives to orders without one."""
ALONE = tuple((name,) for name in (*ENTITIES, *TIMES))
PAIRS = tuple(pair for pair in combinations((*ENTITIES, *TIMES), 2) if not set(pair) <= set(TIMES))
BY_SHOP = (
    ("influencer", "campaign"),
    ("campaign", "day"),
    ("collaboration", "week"),
    ("code", "month"),
    ("code", "day"),
    ("link", "day"),
)
"""Breakdowns of each shop by itself, every dimension at least once; the brand is compared by every dimension and every pair."""

BY_ORDER = (
    ("day",),
    ("influencer", "day"),
    ("code", "day"),
    ("link", "day"),
    ("campaign", "week"),
    ("collaboration", "month"),
)
"""Breakdowns that are compared again with every refund at the date of its order."""


async def read_report(run: Run, query: Query) -> dict[str, Any]:
    """The service's own report over the days of the run."""
    parameters = (
        f"from={run.today - timedelta(days=3)}&to={run.today + timedelta(days=2)}&tz={quote(run.ledger.zone.key)}"
        f"&refunds_by={query.refunds_by}"
    )
    parameters += "".join(f"&group_by={group}" for group in query.groups) + (
        f"&shop={query.shop}" if query.shop else ""
    )
    answer: dict[str, Any] = await run.call("GET", f"/v1/reports/summary?{parameters}")
    return answer


async def await_report(run: Run, progress: Progress) -> None:
    """Waits until the totals are those of the books, for REPORT_TIMEOUT_S at most: what differs then is a difference."""
    task = progress.add_task("until all of it is counted", total=1)
    began = clock.monotonic_s()
    while clock.monotonic_s() - began < REPORT_TIMEOUT_S:
        if not (compare_report("all", await read_report(run, Query()), run.ledger, Query()) or await _rejected(run)):
            break
        await asyncio.sleep(POLL_S)
    progress.advance(task)


async def compare_all(run: Run, shops: Iterable[str], progress: Progress) -> tuple[list[str], int]:
    """One sentence for each figure that differs, and how many figures were compared."""
    queries = [Query(groups) for groups in ((), *ALONE, *PAIRS)]
    queries += [Query(groups, refunds_by="order") for groups in BY_ORDER]
    queries += [Query(groups, shop) for shop in shops for groups in ((), *BY_SHOP)]
    differences: list[str] = await _rejected(run)
    compared = 0

    async def one(query: Query) -> None:
        nonlocal compared
        answer = await read_report(run, query)
        name = f"{query.shop or 'all'}, refunds by order" if query.refunds_by == "order" else query.shop or "all"
        compared += sum(len(row) - 2 for row in (*answer["rows"], answer["totals"]))
        differences.extend(compare_report(name, answer, run.ledger, query))

    task = progress.add_task("every figure, by one and by two", total=len(queries))
    await in_parallel([partial(one, query) for query in queries], progress, task)
    return sorted(differences), compared


async def find_orders(run: Run) -> list[str]:
    """Which orders are not what the books say, one sentence each: where to look when sums differ."""
    found: list[str] = []
    seen: set[str] = set()
    for order in run.ledger.orders:
        if not order.order_id:
            continue
        page = await run.call("GET", f"/v1/conversions?shop={order.shop}&order_id={quote(order.order_id, safe='')}")
        seen |= {each["id"] for each in page["data"]}
        stored, expected = list(map(_stored, page["data"])), _booked(order)
        if stored != [expected]:
            found.append(f"order {order.order_id} of {order.shop} is {stored}, the books say {expected}")
    cursor = ""
    while cursor is not None:
        page = await run.call("GET", f"/v1/conversions?test=false&limit=100{cursor and f'&cursor={cursor}'}")
        cursor = page["next_cursor"]
        unbooked = [each for each in page["data"] if each["id"] not in seen and each["status"] != "unverified"]
        found += [
            f"order {each['order_id']} of {each['shop']} is {_stored(each)}, and in no book"
            for each in unbooked
            if not each["order_id"].startswith(NAMELESS)
        ]
    return sorted(found)


def _stored(order: Mapping[str, Any]) -> tuple[Any, ...]:
    """What the service says of an order: its amounts, and the collaboration it is credited to."""
    credited = [credit["collaboration_id"] for credit in order["attribution"]["credits"]]
    return order["net_minor"], order["refunded_minor"], order["currency"], credited[0] if credited else None


def _booked(order: BookedOrder) -> tuple[Any, ...]:
    """What the books say of it; the demo's orders have one share each."""
    refunded = sum(amount for _, (amount,) in order.refunds)
    deal = order.shares[0].deal
    return order.amounts[0], refunded, order.currency, deal and deal.collaboration


def compare_report(name: str, answer: Mapping[str, Any], ledger: Ledger, query: Query) -> list[str]:
    """One sentence for each figure of this report that is not what the books say."""
    expected = ledger.report(query)
    of_brand = query.shop is None
    totals = figures(expected.totals, with_clicks=of_brand, with_costs=of_brand)
    found = differ(f"{name}: totals", totals, answer["totals"])
    found += differ(f"{name}: unattributed", order_figures(expected.unattributed), answer["unattributed"])
    found += differ(f"{name}: all orders", order_figures(expected.all_orders()), answer["all_orders"])
    listed = {entry["currency"]: entry for entry in answer["unconverted"]}
    for currency in sorted({*expected.unconverted, *listed}):
        counted = order_figures(expected.unconverted.get(currency, Counter()))
        wanted = {figure: counted[figure] for figure in ("conversions", "gross_minor", "refunds_minor")}
        found += differ(f"{name}: unconverted {currency}", wanted, listed.get(currency, {}))
    if not query.groups:
        return found
    rows: dict[Key, Mapping[str, Any]] = {
        tuple(_id_of(row["key"][group]) for group in query.groups): row for row in answer["rows"]
    }
    for key in sorted({*rows, *expected.rows}, key=str):
        where = ", ".join(f"{group} {value or '(unknown)'}" for group, value in zip(query.groups, key, strict=True))
        counts = expected.rows.get(key, Counter())
        wanted = figures(counts, with_clicks=query.with_clicks, with_costs=query.with_costs)
        found += differ(f"{name}: {where}", wanted, rows.get(key, {}))
    if of_brand:
        unsplit = {entry["metric"]: entry["value"] for entry in answer["unsplit"]}
        left = expected.totals["cost_minor"] - sum(counts["cost_minor"] for counts in expected.rows.values())
        found += differ(f"{name}: unsplit by {' and '.join(query.groups)}", {"cost_minor": left}, unsplit)
    return found


def differ(where: str, expected: Figures, found: Mapping[str, Any]) -> list[str]:
    """A sentence for each figure that is not as expected. A row that is absent has nought for every figure."""
    differences = []
    for name, figure in expected.items():
        got = found.get(name)
        if (not found and figure in (0, None)) or same(figure, got):
            continue
        shown = float(figure) if isinstance(figure, Fraction) else figure
        differences.append(f"{where}: {name} is {got}, the books say {shown}")
    return differences


async def _rejected(run: Run) -> list[str]:
    """Checks that messages which could not be read are kept as rejected, one of each shop that sent one."""
    page = await run.call("GET", "/v1/deliveries?status=rejected&limit=100")
    shops = sorted(entry["shop"] for entry in page["data"])
    expected = sorted(run.unreadable)
    return [] if shops == expected else [f"rejected messages are of {shops}, the books say {expected}"]


def _id_of(part: Any) -> str | None:
    return part["id"] if isinstance(part, dict) else None if part is None else str(part)
