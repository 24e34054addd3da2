"""The report against the same facts added up by hand, on the real PostgreSQL."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.kpi import Figures
from app.domain.periods import Period
from app.reports.names import Named
from app.reports.question import ENTITIES, Question
from app.reports.summary import BrandBasics, Summary, one_moment, summarise
from tests.cast import Brand, create_brand
from tests.reports.books import COUNTS, FROM, UNTIL, Books, Click, Cost, Order, Share, answer, open_books, write

PARIS, NEW_YORK, KATHMANDU = ZoneInfo("Europe/Paris"), ZoneInfo("America/New_York"), ZoneInfo("Asia/Kathmandu")
AS_OF = datetime(2026, 11, 15, tzinfo=UTC)
KEPT_DAYS = 400
TIMES = ("day", "week", "month")
SINGLE = [(), *((group,) for group in (*ENTITIES, *TIMES))]
PAIRS = [(one, two) for one in (*ENTITIES, *TIMES) for two in ENTITIES if one != two] + [
    ("influencer", "day"),
    ("link", "week"),
]


async def ask(
    engine: AsyncEngine, brand: Brand, question: Question, zone: ZoneInfo = PARIS, *, click_days: int = KEPT_DAYS
) -> Summary:
    """The report, as an endpoint gets it."""
    async with engine.connect() as connection, connection.begin(), one_moment(connection):
        basics = BrandBasics("EUR", zone)
        return await summarise(connection, brand.id, basics, question, as_of=AS_OF, click_days=click_days)


def period(zone: ZoneInfo = PARIS, start: datetime = FROM, end: datetime = UNTIL) -> Period:
    return Period(start, end, zone)


def counts_of(figures: Figures, names: Sequence[str] = COUNTS) -> Counter[str]:
    """The counted figures that are there and not nought; conversions in basis points, as the books keep them."""
    found: Counter[str] = Counter()
    for name in names:
        value = figures.values.get(name)
        if value:
            found[name] = int(Fraction(value) * 10_000) if name in ("conversions", "orders") else int(value)
    return found


def key_of(row: Any) -> tuple[Any, ...]:
    return tuple(part.id if isinstance(part, Named) else part for part in row.key.values())


def without_noughts(counts: Counter[str]) -> Counter[str]:
    return Counter({name: value for name, value in counts.items() if value})


def check(summary: Summary, books: Books) -> None:
    """Everything a summary must satisfy, whatever was asked."""
    question = summary.question
    expected = answer(books, question.group_by, question.period.start, question.period.end, question.period.zone)
    missing = {name for row in summary.rows for name in row.figures.reasons if name in COUNTS}
    rows = {key_of(row): counts_of(row.figures) for row in summary.rows}
    wanted = {
        key: Counter({n: v for n, v in counts.items() if v and n not in missing})
        for key, counts in expected.rows.items()
    }
    assert {key: counts for key, counts in rows.items() if counts} == {
        key: counts for key, counts in wanted.items() if counts
    }
    assert len(rows) == len(summary.rows)
    assert counts_of(summary.totals) == without_noughts(expected.totals)
    assert counts_of(summary.unattributed) == without_noughts(expected.unattributed)

    if question.group_by:
        added: Counter[str] = Counter()
        for counts in rows.values():
            added.update(counts)
        added.update({part.metric: part.value for part in summary.unsplit})
        assert without_noughts(added) == counts_of(summary.totals)
    whole = counts_of(summary.totals)
    whole.update(counts_of(summary.unattributed))
    names = ("conversions", "orders", "gross_minor", "refunds_minor", "net_minor")
    assert counts_of(summary.all_orders) == without_noughts(Counter({name: whole[name] for name in names}))

    other = {each.currency: each for each in summary.unconverted}
    assert set(other) == set(expected.unconverted)
    for currency, counts in expected.unconverted.items():
        found = other[currency]
        assert int(Fraction(found.conversions) * 10_000) == counts["conversions"]  # type: ignore[arg-type]
        assert (found.gross_minor, found.refunds_minor, found.cost_minor) == tuple(
            counts[name] for name in ("gross_minor", "refunds_minor", "cost_minor")
        )


# ── Any facts, any question ──────────────────────────────────────────────────────────────────────────────────────────

SECONDS = int((UNTIL - FROM).total_seconds())
moments = st.integers(-86_400, SECONDS + 86_400).map(lambda second: FROM + timedelta(seconds=second))
days = st.integers(-1, 22).map(lambda day: date(2026, 10, 20) + timedelta(days=day))
clicks = st.builds(Click, moments, st.integers(0, 3), st.sampled_from([0, 0, 0, 1, 2, 3, 4]), st.integers(1, 3))
single_shares = st.builds(
    Share, st.sampled_from([None, 0, 1, 2]), st.sampled_from([None, 0, 1, 2, 3]), st.sampled_from([None, 0, 1])
).map(lambda share: (share,))
split_shares = st.just((Share(0, 0, None, 3_334), Share(1, 2, None, 3_333), Share(2, None, 1, 3_333)))
currencies = st.sampled_from(["EUR", "EUR", "EUR", "JPY", "KWD"])


@st.composite
def orders(draw: st.DrawFn) -> Order:
    shares = draw(st.one_of(single_shares, split_shares))
    amounts = tuple(draw(st.integers(0, 10**9)) for _ in shares)
    refunds = draw(st.lists(moments, max_size=2))
    return Order(
        draw(moments),
        amounts,
        shares,
        draw(currencies),
        draw(st.sampled_from(["sale", "sale", "lead"])),
        draw(st.sampled_from([True, True, True, False])),
        refunds=tuple((at, tuple(draw(st.integers(-50, 10**6)) for _ in shares)) for at in refunds),
    )


@st.composite
def costs(draw: st.DrawFn) -> Cost:
    collaboration = draw(st.sampled_from([None, 0, 1, 2]))
    campaign = draw(st.integers(0, 1)) if collaboration is None else (0, 0, 1)[collaboration]
    amount = draw(st.integers(0, 10**7))
    return Cost(
        draw(days), campaign, collaboration, amount, draw(currencies), draw(st.sampled_from([False, False, True]))
    )


@hypothesis_settings(max_examples=25)
@given(
    facts=st.tuples(st.lists(clicks, max_size=40), st.lists(orders(), max_size=12), st.lists(costs(), max_size=6)),
    brand_zone=st.sampled_from([PARIS, NEW_YORK, KATHMANDU]),
    zone=st.sampled_from([PARIS, NEW_YORK, KATHMANDU, ZoneInfo("UTC")]),
    groups=st.lists(st.sampled_from([*SINGLE, *PAIRS]), min_size=3, max_size=3),
    ends=st.tuples(moments, moments).filter(lambda pair: pair[0] != pair[1]).map(sorted),
)
async def test_a_report_says_what_the_books_say(
    engine: AsyncEngine,
    pool: asyncpg.Pool,
    facts: tuple[list[Click], list[Order], list[Cost]],
    brand_zone: ZoneInfo,
    zone: ZoneInfo,
    groups: list[tuple[str, ...]],
    ends: list[datetime],
) -> None:
    """Any facts, any two zones, any range: rows, totals, unattributed and unconverted are the sums made by hand, to the minor unit."""
    brand = await create_brand(pool, "Alice", time_zone=brand_zone.key)
    books = await open_books(pool, brand)
    books.clicks, books.orders, books.costs = facts
    await write(pool, brand, brand_zone, books)
    for group_by in groups:
        question = Question(Period(ends[0], ends[1], zone), "EUR", group_by)
        check(await ask(engine, brand, question, brand_zone), books)
