"""The report on the real PostgreSQL against what the ledger works out of the same facts."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.kpi import Figures
from app.domain.periods import Period
from app.errors import Invalid
from app.reports.assembly import Summary
from app.reports.names import Named
from app.reports.question import ENTITIES, Filters, Question
from app.reports.summary import one_moment, summarise
from demo.figures import Counts, figures, same
from demo.ledger import BookedClick, BookedCost, BookedOrder
from tests.cast import Brand, create_brand
from tests.reports.books import COUNTS, FROM, UNTIL, Books, click, cost, open_books, query_of, share, write

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
        return await summarise(connection, brand.id, zone, question, as_of=AS_OF, click_days=click_days)


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


def without_noughts(counts: Counter[str], missing: Collection[str] = ()) -> Counter[str]:
    """The counts that a report shows and that are not nought; `missing`: those that its rows cannot have."""
    return Counter({name: value for name, value in counts.items() if value and name in COUNTS and name not in missing})


def check(summary: Summary, books: Books) -> None:
    """Everything that must hold of a summary without filters."""
    question = summary.question
    query = query_of(question)
    expected = books.expect(query, question.period.zone)
    missing = {name for row in summary.rows for name in row.figures.reasons if name in COUNTS}
    rows = {books.key(row.key): counts_of(row.figures) for row in summary.rows}
    wanted = {key: without_noughts(counts, missing) for key, counts in expected.rows.items()}
    assert {key: counts for key, counts in rows.items() if counts} == {
        key: counts for key, counts in wanted.items() if counts
    }
    assert len(rows) == len(summary.rows)
    assert counts_of(summary.totals) == without_noughts(expected.totals)
    assert counts_of(summary.unattributed) == without_noughts(expected.unattributed)
    for row in summary.rows:
        counts = expected.rows.get(books.key(row.key), Counter())
        assert wrong(row.figures, counts, with_clicks=query.with_clicks, with_costs=query.with_costs) == {}
    assert wrong(summary.totals, expected.totals, with_clicks=True, with_costs=True) == {}

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


def wrong(found: Figures, counts: Counts, *, with_clicks: bool, with_costs: bool) -> dict[str, tuple[Any, Any]]:
    """The figures that are not what the counts come to: (found, expected)."""
    expected = figures(counts, with_clicks=with_clicks, with_costs=with_costs)
    return {
        name: (found.values.get(name), figure)
        for name, figure in expected.items()
        if not same(figure, found.values.get(name))
    }


# ── Any facts, any question ──────────────────────────────────────────────────────────────────────────────────────────

SECONDS = int((UNTIL - FROM).total_seconds())
# On the hour, so that facts and ends of ranges often meet.
moments = st.integers(-24, SECONDS // 3_600 + 24).map(lambda hour: FROM + timedelta(hours=hour))
days = st.integers(-1, 22).map(lambda day: date(2026, 10, 20) + timedelta(days=day))
clicks = st.builds(click, moments, st.integers(0, 3), st.sampled_from([0, 0, 0, 1, 2, 3, 4]), st.integers(1, 3))
single_shares = st.builds(
    share, st.sampled_from([None, 0, 1, 2]), st.sampled_from([None, 0, 1, 2, 3]), st.sampled_from([None, 0, 1])
).map(lambda share: (share,))
split_shares = st.just((share(0, 0, None, 3_334), share(1, 2, None, 3_333), share(2, None, 1, 3_333)))
currencies = st.sampled_from(["EUR", "EUR", "EUR", "JPY", "KWD"])


@st.composite
def orders(draw: st.DrawFn) -> BookedOrder:
    shares = draw(st.one_of(single_shares, split_shares))
    amounts = tuple(draw(st.integers(0, 10**9)) for _ in shares)
    refunds = draw(st.lists(moments, max_size=2))
    return BookedOrder(
        draw(moments),
        amounts,
        shares,
        draw(currencies),
        draw(st.sampled_from(["sale", "sale", "lead"])),
        draw(st.sampled_from([True, True, True, False])),
        refunds=tuple((at, tuple(draw(st.integers(-50, 10**6)) for _ in shares)) for at in refunds),
    )


@st.composite
def costs(draw: st.DrawFn) -> BookedCost:
    collaboration = draw(st.sampled_from([None, 0, 1, 2]))
    campaign = draw(st.integers(0, 1)) if collaboration is None else (0, 0, 1)[collaboration]
    amount = draw(st.integers(0, 10**7))
    return cost(
        draw(days), campaign, collaboration, amount, draw(currencies), draw(st.sampled_from([False, False, True]))
    )


@hypothesis_settings(max_examples=25)
@given(
    facts=st.tuples(st.lists(clicks, max_size=40), st.lists(orders(), max_size=12), st.lists(costs(), max_size=6)),
    brand_zone=st.sampled_from([PARIS, NEW_YORK, KATHMANDU]),
    zone=st.sampled_from([PARIS, NEW_YORK, KATHMANDU, ZoneInfo("UTC")]),
    groups=st.lists(
        st.tuples(st.sampled_from([*SINGLE, *PAIRS]), st.sampled_from(["event", "order"])), min_size=3, max_size=3
    ),
    ends=st.tuples(moments, moments).filter(lambda pair: pair[0] != pair[1]).map(sorted),
)
async def test_a_report_says_what_the_books_say(
    engine: AsyncEngine,
    pool: asyncpg.Pool,
    facts: tuple[list[BookedClick], list[BookedOrder], list[BookedCost]],
    brand_zone: ZoneInfo,
    zone: ZoneInfo,
    groups: list[tuple[tuple[str, ...], Literal["event", "order"]]],
    ends: list[datetime],
) -> None:
    """Any facts, any two zones, any range: rows, totals, unattributed and unconverted are the sums made by hand, to the minor unit."""
    brand = await create_brand(pool, "Alice", time_zone=brand_zone.key)
    books = await open_books(pool, brand)
    books.clicks, books.orders, books.costs = facts
    await write(pool, brand, brand_zone, books)
    for group_by, refunds_by in groups:
        question = Question(Period(ends[0], ends[1], zone), "EUR", group_by, refunds_by=refunds_by)
        check(await ask(engine, brand, question, brand_zone), books)


# ── One thing at a time ──────────────────────────────────────────────────────────────────────────────────────────────

NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)
MS, US = timedelta(milliseconds=1), timedelta(microseconds=1)


@pytest.fixture
async def books(pool: asyncpg.Pool, alice: Brand) -> Books:
    """Alice's books, without facts."""
    return await open_books(pool, alice)


def row_of(summary: Summary, *key: Any) -> dict[str, int | Decimal | None]:
    """The figures of the row with this key."""
    return next(dict(row.figures.values) for row in summary.rows if key_of(row) == key)


async def test_a_ratio_is_made_of_sums_and_not_of_the_rows_ratios(
    pool: asyncpg.Pool, engine: AsyncEngine, alice: Brand, books: Books
) -> None:
    # 1 of 1 and 0 of 3: 25 %, not 50 %.
    books.clicks = [click(NOON, 0, visitor=1), *(click(NOON, 2, visitor=number) for number in (1, 2, 3))]
    books.orders = [BookedOrder(NOON, (1_000,), (share(0, 0),))]
    await write(pool, alice, PARIS, books)
    summary = await ask(engine, alice, Question(period(), "EUR", ("collaboration",)))
    first, second = (books.collaborations[number].id for number in (0, 1))
    assert row_of(summary, first)["cvr"] == Decimal("1.000000")
    assert row_of(summary, second)["cvr"] == Decimal("0.000000")
    assert summary.totals.values["cvr"] == Decimal("0.250000")


async def test_a_rival_brands_rows_are_never_counted(
    pool: asyncpg.Pool, engine: AsyncEngine, alice: Brand, charlie: Brand, books: Books
) -> None:
    rival = await open_books(pool, charlie)
    rival.clicks = [click(NOON, 0), click(NOON + timedelta(hours=14), 1)]
    rival.orders = [BookedOrder(NOON, (5_000,), (share(0, 0, 0),)), BookedOrder(NOON, (1,), (share(None),), "JPY")]
    rival.costs = [cost(NOON.date(), 0, None, 9_000)]
    await write(pool, charlie, PARIS, rival)
    books.orders = [BookedOrder(NOON, (700,), (share(0, 0),))]
    await write(pool, alice, PARIS, books)
    # Days from the daily counts, and edges from single clicks.
    for zone in (PARIS, KATHMANDU):
        summary = await ask(engine, alice, Question(period(zone), "EUR", ("influencer",)))
        check(summary, books)
        assert counts_of(summary.all_orders) == Counter(
            conversions=10_000, orders=10_000, gross_minor=700, net_minor=700
        )
        theirs = await ask(engine, alice, Question(period(zone), "EUR", (), Filters(link_id=tuple(rival.links))))
        assert not counts_of(theirs.totals)


async def test_a_range_holds_its_first_instant_and_not_its_last(pool: asyncpg.Pool, engine: AsyncEngine) -> None:
    # Both midnight in Paris; then both within a day, where single clicks answer.
    for start, end in ((NOON - timedelta(hours=13), NOON + timedelta(hours=11)), (NOON, NOON + timedelta(hours=2))):
        shares = (share(0, 0),)
        brand = await create_brand(pool, "Alice")
        books = await open_books(pool, brand)
        books.clicks = [click(at, 3, visitor=7) for at in (start - MS, start, end - MS, end)]
        books.orders = [
            BookedOrder(at, (1,), shares, refunds=((at, (10,)),)) for at in (start - US, start, end - US, end)
        ]
        books.costs = [cost(NOON.date() + timedelta(days=day), 0, 0, 100) for day in (-1, 0, 1)]
        await write(pool, brand, PARIS, books)
        summary = await ask(engine, brand, Question(Period(start, end, PARIS), "EUR"))
        check(summary, books)
        counted = [summary.totals.values[name] for name in ("clicks", "gross_minor", "refunds_minor")]
        assert counted == [2, 2, 20]
        assert summary.totals.values["cost_minor"] == (0 if start == NOON else 100)


async def test_a_refund_counts_on_its_own_day_and_leaves_the_gross_of_the_order_alone(
    pool: asyncpg.Pool, engine: AsyncEngine, alice: Brand, books: Books
) -> None:
    later = NOON + timedelta(days=2)
    books.orders = [BookedOrder(NOON, (9_000,), (share(0, 0),), refunds=((later, (4_000,)), (later, (-1_000,))))]
    await write(pool, alice, PARIS, books)
    summary = await ask(engine, alice, Question(period(), "EUR", ("day",)))
    ordered, refunded = row_of(summary, "2026-11-05"), row_of(summary, "2026-11-07")
    assert (ordered["gross_minor"], ordered["refunds_minor"], ordered["net_minor"]) == (9_000, 0, 9_000)
    # A reversal gives back what a refund took.
    assert (refunded["gross_minor"], refunded["refunds_minor"], refunded["net_minor"]) == (0, 3_000, -3_000)
    assert (refunded["conversions"], refunded["aov_minor"]) == (0, None)


async def test_by_order_a_refund_counts_on_the_day_of_its_order_whenever_it_was_given(
    pool: asyncpg.Pool, engine: AsyncEngine, alice: Brand, books: Books
) -> None:
    """The cohort of a day: what is left of it; a refund after the range counts, one of an earlier order does not."""
    before, later = NOON - timedelta(days=40), NOON + timedelta(days=40)
    books.orders = [
        BookedOrder(NOON, (6_000, 3_000), (share(0, 0, None, 6_667), share(1, 2, None, 3_333)), refunds=((later, (4_000, 2_000)),)),
        BookedOrder(before, (5_000,), (share(0, 0),), refunds=((NOON, (5_000,)),)),
        BookedOrder(NOON, (700,), (share(None),), refunds=((later, (200,)),)),
    ]  # fmt: skip
    await write(pool, alice, PARIS, books)
    summary = await ask(engine, alice, Question(period(), "EUR", ("influencer", "day"), refunds_by="order"))
    check(summary, books)
    assert [(row.figures.values["gross_minor"], row.figures.values["refunds_minor"]) for row in summary.rows] == [
        (6_000, 4_000),
        (3_000, 2_000),
    ]
    assert summary.unattributed.values["net_minor"] == 500
    by_event = await ask(engine, alice, Question(period(), "EUR", refunds_by="event"))
    assert (summary.totals.values["refunds_minor"], by_event.totals.values["refunds_minor"]) == (6_000, 5_000)


async def test_an_order_of_three_creators_is_one_order(
    pool: asyncpg.Pool, engine: AsyncEngine, alice: Brand, books: Books
) -> None:
    shares = (share(0, weight_bp=3_334), share(1, weight_bp=3_333), share(2, weight_bp=3_333))
    books.orders = [BookedOrder(NOON, (34, 33, 33), shares)]
    await write(pool, alice, PARIS, books)
    summary = await ask(engine, alice, Question(period(), "EUR", ("influencer",)))
    assert summary.totals.values["conversions"] == 1
    assert row_of(summary, books.influencers[0])["conversions"] == Decimal("0.6667")
    assert row_of(summary, books.influencers[0])["gross_minor"] == 67


async def test_every_day_is_there_also_one_of_25_hours_and_one_without_anything(
    pool: asyncpg.Pool, engine: AsyncEngine, alice: Brand, books: Books
) -> None:
    # 25 October in Paris lasts from 22:00 to 23:00 (UTC), 25 hours.
    books.clicks = [
        click(datetime(2026, 10, 24, 22, tzinfo=UTC), 0),
        click(datetime(2026, 10, 25, 22, 59, tzinfo=UTC), 0),
    ]
    await write(pool, alice, PARIS, books)
    of_days = Period(datetime(2026, 10, 23, 22, tzinfo=UTC), datetime(2026, 10, 26, 23, tzinfo=UTC), PARIS)
    summary = await ask(engine, alice, Question(of_days, "EUR", ("day",)))
    assert [(row.key["day"], row.figures.values["clicks"]) for row in summary.rows] == [
        ("2026-10-24", 0),
        ("2026-10-25", 2),
        ("2026-10-26", 0),
    ]
    in_utc = await ask(engine, alice, Question(replace(of_days, zone=ZoneInfo("UTC")), "EUR", ("day",)))
    assert [row.figures.values["clicks"] for row in in_utc.rows] == [0, 1, 1, 0]


async def test_daily_counts_and_single_clicks_give_the_same_report(
    pool: asyncpg.Pool, engine: AsyncEngine, alice: Brand, books: Books
) -> None:
    every_five_hours = [FROM + timedelta(hours=5 * number) for number in range(90)]
    books.clicks = [click(at, n % 4, (0, 0, 1, 0, 2, 5)[n % 6], n % 3) for n, at in enumerate(every_five_hours)]
    await write(pool, alice, PARIS, books)
    question = Question(Period(FROM, FROM + timedelta(days=14), PARIS), "EUR", ("link",))
    by_day = await ask(engine, alice, question, PARIS)
    # Taken for a brand of Kathmandu, no day of Paris is a whole one: single clicks answer alone.
    by_click = await ask(engine, alice, replace(question, group_by=("link", "day")), KATHMANDU)
    added: dict[Any, Counter[str]] = {}
    for row in by_click.rows:
        added.setdefault(key_of(row)[0], Counter()).update(counts_of(row.figures))
    assert added == {key_of(row)[0]: counts_of(row.figures) for row in by_day.rows}
    check(by_day, books)


async def test_costs_of_a_campaign_stand_in_its_row_and_below_it_only_in_the_totals(
    pool: asyncpg.Pool, engine: AsyncEngine, alice: Brand, books: Books
) -> None:
    day = NOON.date()
    books.costs = [
        cost(day, 0, 0, 500),
        cost(day, 0, None, 2_000),
        cost(day, 1, 2, 30),
        cost(day, 0, 0, 9, archived=True),
    ]
    books.orders = [BookedOrder(NOON, (4_000,), (share(0, 0),))]
    await write(pool, alice, PARIS, books)
    by_campaign = await ask(engine, alice, Question(period(), "EUR", ("campaign",)))
    assert row_of(by_campaign, books.campaigns[0])["cost_minor"] == 2_500
    assert by_campaign.unsplit == ()
    by_influencer = await ask(engine, alice, Question(period(), "EUR", ("influencer",)))
    assert row_of(by_influencer, books.influencers[0])["cost_minor"] == 530
    assert by_influencer.totals.values["cost_minor"] == 2_530
    assert [(part.metric, part.value) for part in by_influencer.unsplit] == [("cost_minor", 2_000)]
    by_link = await ask(engine, alice, Question(period(), "EUR", ("link",)))
    assert by_link.rows[0].figures.values["cost_minor"] is None
    assert by_link.rows[0].figures.reasons["roi"] == "unsplittable"
    assert by_link.totals.values["roi"] == Decimal("0.581028")
    assert [(part.metric, part.value) for part in by_link.unsplit] == [("cost_minor", 2_530)]


async def test_clicks_have_no_code_and_an_order_without_link_stands_under_unknown(
    pool: asyncpg.Pool, engine: AsyncEngine, alice: Brand, books: Books
) -> None:
    books.clicks = [click(NOON, 0)]
    books.orders = [BookedOrder(NOON, (300,), (share(0, None, 0),)), BookedOrder(NOON, (200,), (share(0, 0, None),))]
    await write(pool, alice, PARIS, books)
    by_code = await ask(engine, alice, Question(period(), "EUR", ("code",)))
    assert {row.figures.values["clicks"] for row in by_code.rows} == {None}
    assert by_code.totals.values["clicks"] == 1
    assert ("clicks", 1) in [(part.metric, part.value) for part in by_code.unsplit]
    by_link = await ask(engine, alice, Question(period(), "EUR", ("link",)))
    # Unknown comes last, whatever it earned.
    assert [key_of(row) for row in by_link.rows] == [(books.links[0],), (None,)]
    assert by_link.rows[-1].key["link"] == Named(None, "(unknown)")
    assert by_link.rows[-1].figures.values["gross_minor"] == 300


async def test_yen_and_dinars_are_told_apart_from_euros_and_in_no_figure(
    pool: asyncpg.Pool, engine: AsyncEngine, alice: Brand, books: Books
) -> None:
    shares = (share(0, 0),)
    books.orders = [
        BookedOrder(NOON, (4_990,), shares),
        BookedOrder(NOON, (500,), shares, "JPY"),
        BookedOrder(NOON, (1_234,), (share(None),), "KWD"),
    ]
    books.costs = [cost(NOON.date(), 0, 0, 900, "JPY"), cost(NOON.date(), 0, 0, 100)]
    await write(pool, alice, PARIS, books)
    euros = await ask(engine, alice, Question(period(), "EUR"))
    assert euros.all_orders.values["gross_minor"] == 4_990
    assert [(each.currency, each.conversions, each.gross_minor, each.cost_minor) for each in euros.unconverted] == [
        ("JPY", 1, 500, 900),
        ("KWD", 1, 1_234, 0),
    ]
    yen = await ask(engine, alice, Question(period(), "JPY"))
    assert (yen.totals.values["gross_minor"], yen.totals.values["cost_minor"]) == (500, 900)
    assert [each.currency for each in yen.unconverted] == ["EUR", "KWD"]


@pytest.mark.parametrize("name", ["influencer_id", "campaign_id", "collaboration_id", "link_id", "code_id"])
async def test_a_filter_leaves_what_its_rows_would_say(
    pool: asyncpg.Pool, engine: AsyncEngine, alice: Brand, books: Books, name: str
) -> None:
    books.clicks = [click(NOON + timedelta(hours=9 * n), n % 4, visitor=n) for n in range(12)]
    books.orders = [BookedOrder(NOON, (10**n,), (share(n % 3, n % 4, n % 2),)) for n in range(9)]
    books.costs = [cost(NOON.date(), (0, 0, 1)[n % 3], n % 3, 7**n) for n in range(6)]
    await write(pool, alice, PARIS, books)
    group = name.removesuffix("_id")
    everything = await ask(engine, alice, Question(period(), "EUR", (group,)))
    for row in everything.rows:
        (wanted,) = key_of(row)
        filtered = await ask(engine, alice, Question(period(), "EUR", (), Filters(**{name: (wanted,)})))
        assert filtered.totals == row.figures
        assert filtered.all_orders.reasons["coverage"] == "filtered"
    both = tuple(key_of(row)[0] for row in everything.rows[:2])
    filtered = await ask(engine, alice, Question(period(), "EUR", (group,), Filters(**{name: both})))
    assert filtered.rows == everything.rows[:2]


async def test_shops_and_kinds_filter_orders_and_leads_do_not_dilute_the_average_order(
    pool: asyncpg.Pool, engine: AsyncEngine, alice: Brand, books: Books
) -> None:
    shares = (share(0, 0),)
    books.orders = [
        BookedOrder(NOON, (900,), shares),
        BookedOrder(NOON, (0,), shares, kind="lead"),
        BookedOrder(NOON, (50,), shares, shop="outlet"),
    ]
    books.clicks = [click(NOON, 0)]
    await write(pool, alice, PARIS, books)
    whole = await ask(engine, alice, Question(period(), "EUR"))
    assert (whole.totals.values["conversions"], whole.totals.values["aov_minor"]) == (3, 475)
    outlet = await ask(engine, alice, Question(period(), "EUR", (), Filters(shop=("outlet",))))
    assert (outlet.totals.values["gross_minor"], outlet.totals.values["clicks"]) == (50, None)
    assert outlet.totals.reasons["clicks"] == "unsplittable"
    leads = await ask(engine, alice, Question(period(), "EUR", (), Filters(kind=("lead",))))
    assert (leads.totals.values["conversions"], leads.totals.values["clicks"]) == (1, 1)
    assert leads.totals.reasons["aov_minor"] == "no_orders"


async def test_first_orders_and_renewals_are_told_apart(
    pool: asyncpg.Pool, engine: AsyncEngine, alice: Brand, charlie: Brand, books: Books
) -> None:
    amounts = {"first": 900, "renewal": 50, "unknown": 7}
    books.orders = [BookedOrder(NOON, (amount,), (share(0, 0),), shop=origin) for origin, amount in amounts.items()]
    books.clicks = [click(NOON, 0)]
    await write(pool, alice, PARIS, books)
    await pool.execute("UPDATE conversion SET origin = shop WHERE brand_id = $1", alice.id)
    for origin, amount in amounts.items():
        for refunds_by in ("event", "order"):
            asked = Question(period(), "EUR", ("influencer",), Filters(origin=(origin,)), refunds_by)
            found = await ask(engine, alice, asked)
            assert (found.totals.values["gross_minor"], found.totals.values["conversions"]) == (amount, 1)
            assert [row.figures.values["gross_minor"] for row in found.rows] == [amount]
            assert (found.totals.values["clicks"], found.totals.reasons["clicks"]) == (None, "unsplittable")
    both = await ask(engine, alice, Question(period(), "EUR", (), Filters(origin=("first", "renewal"))))
    assert both.totals.values["gross_minor"] == 950
    rival = await ask(engine, charlie, Question(period(), "EUR", (), Filters(origin=("first",))))
    assert rival.totals.values["conversions"] == 0


async def test_the_archived_keep_their_names_and_their_figures(
    pool: asyncpg.Pool, engine: AsyncEngine, alice: Brand, books: Books
) -> None:
    books.orders = [BookedOrder(NOON, (900,), (share(1, 2),))]
    await write(pool, alice, PARIS, books)
    for table in ("influencer", "campaign", "collaboration", "link"):
        await pool.execute(f"UPDATE {table} SET archived_at = now() WHERE brand_id = $1", alice.id)
    for group, name in (("influencer", "second influencer"), ("collaboration", "second influencer × first campaign")):
        summary = await ask(engine, alice, Question(period(), "EUR", (group,)))
        (row,) = summary.rows
        shown = row.key[group]
        assert isinstance(shown, Named)
        assert (shown.name, shown.archived, row.figures.values["gross_minor"]) == (name, True, 900)


async def test_single_clicks_that_are_gone_are_not_taken_for_none(
    pool: asyncpg.Pool, engine: AsyncEngine, alice: Brand, books: Books
) -> None:
    books.clicks = [click(NOON, 0)]
    await write(pool, alice, PARIS, books)
    question = Question(Period(FROM, UNTIL, KATHMANDU), "EUR", ("day",))
    with pytest.raises(Invalid) as caught:
        await ask(engine, alice, question, click_days=12)
    assert caught.value.code == "clicks_expired"
    assert "Europe/Paris" in caught.value.message
    whole_days = Period(datetime(2026, 10, 31, 23, tzinfo=UTC), datetime(2026, 11, 9, 23, tzinfo=UTC), PARIS)
    summary = await ask(engine, alice, Question(whole_days, "EUR"), click_days=1)
    assert summary.totals.values["clicks"] == 1


async def test_too_many_rows_are_refused_with_advice(
    pool: asyncpg.Pool, engine: AsyncEngine, alice: Brand, books: Books
) -> None:
    await pool.execute(
        """INSERT INTO click_day (brand_id, day, link_id, clicks)
           SELECT $1, DATE '2026-11-05', gen_random_uuid(), 1 FROM generate_series(1, 10001)""",
        alice.id,
    )
    with pytest.raises(Invalid) as caught:
        await ask(engine, alice, Question(period(), "EUR", ("link",)))
    assert caught.value.code == "too_many_rows"
    # Clicks of links that no longer exist are still clicks.
    by_campaign = await ask(engine, alice, Question(period(), "EUR", ("campaign",)))
    assert [(key_of(row), row.figures.values["clicks"]) for row in by_campaign.rows] == [((None,), 10_001)]


async def test_rows_come_by_revenue_then_time_and_always_in_the_same_order(
    pool: asyncpg.Pool, engine: AsyncEngine, alice: Brand, books: Books
) -> None:
    books.orders = [
        BookedOrder(NOON, (10,), (share(0, 0),)),
        BookedOrder(NOON + timedelta(days=1), (20,), (share(1, 2),)),
        BookedOrder(NOON - timedelta(days=1), (15,), (share(1, 2),)),
    ]
    await write(pool, alice, PARIS, books)
    first, second = books.influencers
    summary = await ask(engine, alice, Question(period(), "EUR", ("influencer", "day")))
    assert [key_of(row) for row in summary.rows] == [
        (second, "2026-11-04"),
        (second, "2026-11-06"),
        (first, "2026-11-05"),
    ]


async def test_an_empty_brand_has_a_report_of_noughts(engine: AsyncEngine, alice: Brand) -> None:
    summary = await ask(engine, alice, Question(period(), "EUR", ("influencer",)))
    assert summary.rows == ()
    assert (summary.totals.values["clicks"], summary.totals.values["roi"]) == (0, None)
    assert summary.all_orders.reasons["coverage"] == "no_conversions"
