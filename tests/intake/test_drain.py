"""From lines in the spool to clicks, counts, uniques and waiting orders in the real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import clock, random_ids
from app.database.connections import connect_pool
from app.database.partitions import ensure_partitions
from app.domain.click_classes import CLICK_CLASSES
from app.domain.ids import floor_at, floor_ms
from app.domain.visitors import DAY_MS
from app.intake.clicks import misses as clicks_module
from app.intake.clicks.calendar import Calendar, local_day
from app.intake.clicks.uniques import ADVISORY_LOCK, LOCK_BRAND, count_change, count_uniques
from app.intake.drain import ClickRecorder, drain, note_progress, record_or_refuse
from app.spool.reader import claim
from app.spool.records import ClickLine, Line, MissLine, decode, encode
from app.spool.writer import QUARANTINE, SUFFIX, Spool
from tests.cast import Brand, create_brand
from tests.conftest import copy_template
from tests.tracking.asking import CHROME
from tests.tracking.rows import write_route

PERSON = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
RETENTION = timedelta(days=400)


@pytest.fixture(scope="module")
async def own(server: str, template: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool on a database of these tests' own: the queues behind a drain are those of every brand."""
    pool = await connect_pool(await copy_template(server, template), size=8, name="tests")
    yield pool
    await pool.close()


@pytest.fixture
async def pair(own: asyncpg.Pool) -> tuple[Brand, Brand]:
    return await create_brand(own, "Alice", time_zone="Europe/Paris"), await create_brand(own, "Charlie")


def recorder(pool: asyncpg.Pool, chunk_rows: int = 100) -> ClickRecorder:
    return ClickRecorder(pool, chunk_rows=chunk_rows, retention_days=RETENTION.days)


def click(
    brand: Brand,
    link_id: UUID,
    *,
    at: datetime | None = None,
    visitor: int | None = 1,
    user_agent: str = PERSON,
    hint: str = "",
    referrer_host: str = "instagram.com",
) -> ClickLine:
    id_ = random_ids.new_id()
    if at is not None:
        id_ = UUID(int=floor_at(at).int | (id_.int & ((1 << 62) - 1)))
    return ClickLine(str(id_), str(brand.id), str(link_id), visitor, "90.12.3.0", user_agent, referrer_host, hint)


def write(directory: Path, lines: Sequence[Line], name: UUID | None = None) -> Path:
    """A segment as a writer that is gone left it."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"clicks-{name or random_ids.new_id()}{SUFFIX}"
    path.write_bytes(b"".join(encode(line) + b"\n" for line in lines))
    return path


def waiting(directory: Path) -> list[str]:
    """The segments that are still there."""
    return [path.name for path in directory.glob(f"*{SUFFIX}")]


async def counts(pool: asyncpg.Pool, brand: Brand) -> dict[tuple[date, UUID], tuple[int, ...]]:
    rows = await pool.fetch(
        """SELECT day, link_id, clicks, bots, previews, prefetches, heads, unique_clicks
           FROM click_day WHERE brand_id = $1""",
        brand.id,
    )
    return {(row[0], row[1]): tuple(row)[2:] for row in rows}


async def test_a_click_is_stored_with_what_its_request_said(
    own: asyncpg.Pool, pair: tuple[Brand, Brand], tmp_path: Path
) -> None:
    alice, charlie = pair
    link_id, at = random_ids.new_id(), datetime.now(UTC).replace(microsecond=123_000)
    line = click(alice, link_id, at=at)
    write(tmp_path, [line])
    assert await drain(tmp_path, "clicks", recorder(own), retention=RETENTION) == 1
    row = await own.fetchrow("SELECT * FROM click WHERE brand_id = $1", alice.id)
    assert dict(row) == {
        "brand_id": alice.id, "id": UUID(line.id), "link_id": link_id, "occurred_at": at, "class": 0, "visitor": 1, "country": "FR",
        "device": "mobile", "os": "iOS", "browser": "Safari", "in_app": None, "referrer_host": "instagram.com",
    }  # fmt: skip
    assert await counts(own, charlie) == {}
    assert waiting(tmp_path) == []


async def test_a_page_that_a_power_failure_left_unwritten_costs_only_what_stood_there(
    own: asyncpg.Pool, pair: tuple[Brand, Brand], tmp_path: Path
) -> None:
    alice, _ = pair
    lines = [click(alice, random_ids.new_id()) for _ in range(60)]
    path = write(tmp_path, lines)
    # Written over NULs, flushed up to the 20th line; of what came later one page arrived and the one before it did not.
    written = path.read_bytes()
    flushed = len(b"".join(encode(line) + b"\n" for line in lines[:20]))
    hole = slice(flushed + 100, flushed + 4_196)
    path.write_bytes(written[: hole.start] + b"\0" * 4_096 + written[hole.stop :] + b"\0" * 9_000)
    await drain(tmp_path, "clicks", recorder(own))
    kept = {row["id"] for row in await own.fetch("SELECT id FROM click WHERE brand_id = $1", alice.id)}
    assert {UUID(line.id) for line in lines[:20]} < kept
    assert UUID(lines[-1].id) in kept
    [aside] = (tmp_path / QUARANTINE).glob("*.jsonl")
    assert len(aside.read_text().splitlines()) == 1
    assert waiting(tmp_path) == []


async def test_every_class_is_counted_under_its_own_name(
    own: asyncpg.Pool, pair: tuple[Brand, Brand], tmp_path: Path
) -> None:
    alice, charlie = pair
    link_id = random_ids.new_id()
    agents = [
        (PERSON, ""),
        (PERSON, ""),
        ("curl/8", ""),
        ("WhatsApp/2.24", ""),
        (PERSON, "prefetch"),
        (PERSON, "head"),
        ("", ""),
    ]
    write(
        tmp_path,
        [click(alice, link_id, user_agent=agent, hint=hint) for agent, hint in agents] + [click(charlie, link_id)],
    )
    await drain(tmp_path, "clicks", recorder(own))
    assert list((await counts(own, alice)).values()) == [(2, 2, 1, 1, 1, 0)]
    assert list((await counts(own, charlie)).values()) == [(1, 0, 0, 0, 0, 0)]


async def test_what_a_click_says_is_stored_the_same_whether_it_is_copied_or_inserted(
    own: asyncpg.Pool, pair: tuple[Brand, Brand], tmp_path: Path
) -> None:
    alice, _ = pair
    link_id = random_ids.new_id()
    midnight = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    lines = [
        click(alice, link_id, at=midnight + timedelta(milliseconds=number - 2), **said)
        for number, said in enumerate(
            [
                {},
                {"visitor": None, "referrer_host": ""},
                {"visitor": (1 << 63) - 1, "referrer_host": "é.example"},
                {"user_agent": "curl/8", "hint": "head"},
                {"referrer_host": "\\N\t"},
            ]
        )
    ]
    stored, counted = [], []
    # With one of them there already, the others cannot be copied.
    for known in (lines[4:], []):
        write(tmp_path, known)
        await drain(tmp_path, "clicks", recorder(own))
        write(tmp_path, lines)
        await drain(tmp_path, "clicks", recorder(own))
        rows = await own.fetch("SELECT * FROM click WHERE brand_id = $1 ORDER BY id", alice.id)
        stored.append([tuple(row) for row in rows])
        counted.append(await counts(own, alice))
        for table in ("click", "click_day"):
            await own.execute(f"DELETE FROM {table} WHERE brand_id = $1", alice.id)
    assert stored[0] == stored[1]
    assert counted[0] == counted[1]
    assert len(stored[0]) == 5
    assert not (tmp_path / QUARANTINE).exists()


async def test_a_day_begins_at_midnight_of_the_brand(
    own: asyncpg.Pool, pair: tuple[Brand, Brand], tmp_path: Path
) -> None:
    alice, _ = pair
    link_id = random_ids.new_id()
    yesterday = clock.now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    # Paris is one or two hours ahead of UTC: 23:30 UTC is the next day there, 20:30 UTC is not.
    write(tmp_path, [click(alice, link_id, at=yesterday + timedelta(hours=hour, minutes=30)) for hour in (20, 23)])
    await drain(tmp_path, "clicks", recorder(own))
    assert sorted(day for day, _ in await counts(own, alice)) == [
        yesterday.date(),
        yesterday.date() + timedelta(days=1),
    ]


async def test_a_segment_replayed_any_number_of_times_counts_once(
    own: asyncpg.Pool, pair: tuple[Brand, Brand], tmp_path: Path
) -> None:
    alice, charlie = pair
    lines = [
        click(brand, link_id, visitor=n)
        for n in range(50)
        for brand, link_id in ((alice, alice.id), (charlie, charlie.id))
    ]
    for first in (0, 0, 25):
        write(tmp_path, lines[first:] + lines[:3])
        await drain(tmp_path, "clicks", recorder(own, chunk_rows=7))
    while await count_uniques(own, Calendar()):
        pass
    for brand in pair:
        assert await own.fetchval("SELECT count(*) FROM click WHERE brand_id = $1", brand.id) == 50
        assert [(row[0], row[5]) for row in (await counts(own, brand)).values()] == [(50, 50)]


async def test_a_line_the_database_refuses_is_set_aside_and_blocks_nobody(
    own: asyncpg.Pool, pair: tuple[Brand, Brand], tmp_path: Path
) -> None:
    alice, _ = pair
    good = [click(alice, alice.id) for _ in range(20)]
    poison = click(alice, alice.id, referrer_host="a\x00b")
    ancient = click(alice, alice.id, at=clock.now() - timedelta(days=500))
    ahead = click(alice, alice.id, at=clock.now() + timedelta(days=300))
    nobody = ClickLine(str(random_ids.new_id()), "not a brand", str(alice.id), None, "", PERSON, "", "")
    path = write(tmp_path, [*good[:7], poison, *good[7:], ancient, ahead, nobody])
    with path.open("ab") as file:
        file.write(b'["click", "half a li\n{"no": "line"}\n["click","torn tail"')
    assert await drain(tmp_path, "clicks", recorder(own, chunk_rows=8)) == 26
    assert await own.fetchval("SELECT count(*) FROM click WHERE brand_id = $1", alice.id) == 20
    assert [row[0] for row in (await counts(own, alice)).values()] == [20]
    kept = "".join(path.read_text() for path in (tmp_path / QUARANTINE).glob("lines-*.jsonl"))
    assert len(kept.splitlines()) == 6
    for line in (poison, ancient, ahead, nobody):
        assert line.id in kept
    assert "null character" in kept or "invalid byte sequence" in kept
    assert "beyond the retention" in kept
    assert "torn tail" not in kept
    assert waiting(tmp_path) == []


async def test_a_segment_older_than_the_retention_is_set_aside_unread(
    own: asyncpg.Pool, pair: tuple[Brand, Brand], tmp_path: Path
) -> None:
    alice, _ = pair
    long_ago = clock.now() - timedelta(days=401)
    long_ago_ms = int(long_ago.timestamp() * 1000)
    old = write(tmp_path, [click(alice, alice.id, at=long_ago)], name=floor_ms(long_ago_ms))
    # Made as long ago, and written to only now: nobody had clicked in between.
    quiet = write(tmp_path, [click(alice, alice.id)], name=floor_ms(long_ago_ms + 1))
    write(tmp_path, [click(alice, alice.id)])
    assert await drain(tmp_path, "clicks", recorder(own), retention=RETENTION) == 2
    assert not quiet.exists()
    assert (tmp_path / QUARANTINE / old.name).exists()
    assert await own.fetchval("SELECT count(*) FROM click WHERE brand_id = $1", alice.id) == 2


async def test_a_click_of_a_month_that_is_missing_makes_its_month(
    own: asyncpg.Pool, pair: tuple[Brand, Brand], tmp_path: Path
) -> None:
    alice, _ = pair
    write(tmp_path, [click(alice, alice.id, at=clock.now() - timedelta(days=days)) for days in (390, 200, 0)])
    await drain(tmp_path, "clicks", recorder(own))
    assert await own.fetchval("SELECT count(*) FROM click WHERE brand_id = $1", alice.id) == 3
    assert not (tmp_path / QUARANTINE).exists()


async def test_months_are_made_once_whoever_asks(own: asyncpg.Pool) -> None:
    since = datetime(2031, 11, 15, tzinfo=UTC)

    async def ask() -> list[str]:
        async with own.acquire() as connection:
            return await ensure_partitions(connection, since=since, until=since + timedelta(days=80))

    made = [name for names in await asyncio.gather(*(ask() for _ in range(4))) for name in names]
    assert sorted(made) == ["click_2031_11", "click_2031_12", "click_2032_01", "click_2032_02"]


@pytest.mark.parametrize("rows_max", [1_000, 1])
async def test_orders_that_waited_for_a_click_are_queued_with_it(
    own: asyncpg.Pool, pair: tuple[Brand, Brand], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_max: int
) -> None:
    # With room for one row only, the clicks are looked up one by one.
    monkeypatch.setattr("app.intake.clicks.recording.REFERENCES_MAX", rows_max)
    alice, charlie = pair
    by_click, by_visitor, unrelated = (click(alice, alice.id) for _ in range(3))
    by_bot = click(alice, alice.id, user_agent="curl/8")
    orders = [random_ids.new_id() for _ in range(5)]
    touches = [
        (alice.id, f"click:{by_click.id}", orders[0]),
        (alice.id, "visitor:v1", orders[1]),
        (charlie.id, f"click:{unrelated.id}", orders[2]),
        (alice.id, f"click:{by_bot.id}", orders[3]),
        (alice.id, f"click:{random_ids.new_id()}", orders[4]),
    ]
    await own.executemany("INSERT INTO order_touch (brand_id, touch, conversion_id) VALUES ($1, $2, $3)", touches)
    await own.execute(
        "INSERT INTO visitor_click (brand_id, visitor_id, click_id, seen_at) VALUES ($1, 'v1', $2, now())",
        alice.id,
        by_visitor.id,
    )
    write(tmp_path, [by_click, by_visitor, unrelated, by_bot])
    await drain(tmp_path, "clicks", recorder(own))
    rows = await own.fetch("SELECT brand_id, conversion_id, after::text FROM redecide WHERE brand_id = $1", alice.id)
    assert {tuple(row) for row in rows} == {(alice.id, orders[n], "0") for n in (0, 1, 3)}
    write(tmp_path, [by_click, by_visitor])
    await drain(tmp_path, "clicks", recorder(own))
    assert await own.fetchval("SELECT count(*) FROM redecide WHERE brand_id = $1", alice.id) == 3
    assert await own.fetchval("SELECT count(*) FROM redecide WHERE brand_id = $1", charlie.id) == 0


async def test_uniques_are_the_first_click_of_a_visitor_link_and_day(
    own: asyncpg.Pool, pair: tuple[Brand, Brand], tmp_path: Path
) -> None:
    alice, charlie = pair
    link_id, other_link = random_ids.new_id(), random_ids.new_id()
    write(
        tmp_path,
        [
            click(alice, link_id, visitor=1),
            click(alice, link_id, visitor=1),
            click(alice, link_id, visitor=2),
            click(alice, other_link, visitor=1),
            click(alice, link_id, visitor=None),
            click(alice, link_id, visitor=3, user_agent="curl/8"),
            click(charlie, link_id, visitor=1),
        ],
    )
    await drain(tmp_path, "clicks", recorder(own, chunk_rows=2))
    assert await count_uniques(own, Calendar()) > 0
    assert await count_uniques(own, Calendar()) == 0
    uniques = {link: row[5] for (_, link), row in (await counts(own, alice)).items()}
    assert uniques == {link_id: 2, other_link: 1}
    assert sum(row[5] for row in (await counts(own, charlie)).values()) == 1


async def test_a_brand_that_another_process_counts_holds_up_no_other(
    own: asyncpg.Pool, pair: tuple[Brand, Brand], tmp_path: Path
) -> None:
    alice, charlie = pair
    while await count_uniques(own, Calendar()):  # what other tests left
        pass
    write(tmp_path, [click(each, random_ids.new_id(), visitor=1) for each in (alice, charlie)])
    await drain(tmp_path, "clicks", recorder(own))
    async with own.acquire() as elsewhere, elsewhere.transaction():
        assert await elsewhere.fetchval(LOCK_BRAND, ADVISORY_LOCK, alice.id)
        assert [await count_uniques(own, Calendar()) for _ in range(2)] == [1, 0]
        assert await own.fetchval("SELECT sum(unique_clicks) FROM click_day WHERE brand_id = $1", charlie.id) == 1
        assert await own.fetchval("SELECT sum(unique_clicks) FROM click_day WHERE brand_id = $1", alice.id) == 0
    assert await count_uniques(own, Calendar()) == 1
    assert await own.fetchval("SELECT sum(unique_clicks) FROM click_day WHERE brand_id = $1", alice.id) == 1


async def test_uniques_that_arrive_out_of_order_end_on_the_day_of_the_first(
    own: asyncpg.Pool, pair: tuple[Brand, Brand], tmp_path: Path
) -> None:
    alice, _ = pair
    link_id = random_ids.new_id()
    day = clock.now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
    # One UTC day, two days in Paris; the later click is drained first.
    late, early, between = (click(alice, link_id, at=day + timedelta(hours=hour)) for hour in (23.5, 10, 12))
    for line in (late, early, between):
        write(tmp_path, [line])
        await drain(tmp_path, "clicks", recorder(own))
        await count_uniques(own, Calendar())
    uniques = {day: row[5] for (day, _), row in (await counts(own, alice)).items()}
    assert uniques == {day.date(): 1, day.date() + timedelta(days=1): 0}


@given(st.permutations([(visitor, hour) for visitor in (1, 2) for hour in (0, 1, 22, 23, 24, 25)]), st.integers(1, 5))
def test_uniques_do_not_depend_on_the_order_or_the_batches(order: list[tuple[int, int]], batch: int) -> None:
    link_id, noon = UUID(int=7), 20_000 * DAY_MS
    ids = {each: floor_ms(noon + each[1] * 3_600_000) for each in order}
    day_of = {id_: local_day("Europe/Paris", id_.int >> 80) for id_ in ids.values()}
    known: dict[tuple[date, UUID, int], UUID] = {}
    total: dict[date, int] = {}
    for start in range(0, len(order), batch):
        firsts: dict[tuple[date, UUID, int], UUID] = {}
        for visitor, hour in order[start : start + batch]:
            key = (date(2024, 10, 4 + hour // 24), link_id, visitor)
            firsts[key] = min(firsts.get(key, ids[(visitor, hour)]), ids[(visitor, hour)])
        first, counts = count_change(firsts, known, day_of)
        known |= first
        for (day, _), by in counts.items():
            total[day] = total.get(day, 0) + by
    # 00:00 and 24:00 UTC are 02:00 in Paris: the first clicks of the two UTC days fall on two local days, for both visitors.
    assert {day: count for day, count in total.items() if count} == {date(2024, 10, 4): 2, date(2024, 10, 5): 2}


async def test_several_drainers_share_the_work_without_a_deadlock(
    own: asyncpg.Pool, pair: tuple[Brand, Brand], tmp_path: Path
) -> None:
    links = [random_ids.new_id() for _ in range(30)]
    lines = [click(pair[n % 2], links[n * 7 % 30], visitor=n % 40) for n in range(4_000)]
    for start in range(0, 4_000, 250):
        write(tmp_path, lines[start : start + 250][:: -1 if start % 500 else 1])

    async def work() -> int:
        record, total = recorder(own, chunk_rows=64), 0
        while count := await drain_one(tmp_path, record):
            total += count
            await count_uniques(own, Calendar())
        return total

    before = await own.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    shares = await asyncio.gather(*(work() for _ in range(4)))
    while await count_uniques(own, Calendar()):
        pass
    assert sum(shares) == 4_000
    assert min(shares) > 0
    for brand in pair:
        by_link = await counts(own, brand)
        assert sum(row[0] for row in by_link.values()) == 2_000
        expected = len({(line.link_id, line.visitor) for line in lines if line.brand_id == str(brand.id)})
        assert sum(row[5] for row in by_link.values()) == expected
    after = await own.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert after == before


async def drain_one(directory: Path, record: ClickRecorder) -> int:
    """A pass that takes one segment only, so that the drainers really interleave."""
    segments = claim(directory, "clicks", bytes_max=1)
    for segment in segments:
        lines = [decode(line) for line in segment.lines()]
        await record(lines)
        segment.discard()
        return len(lines)
    return 0


async def test_misses_are_counted_by_slug_up_to_a_limit(
    own: asyncpg.Pool, pair: tuple[Brand, Brand], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clicks_module, "MISSED_SLUGS_MAX", 3)
    alice, _ = pair

    def miss(slug: str, reason: str = "unknown_slug", brand: str | None = None) -> MissLine:
        return MissLine(str(random_ids.new_id()), brand, "go.example", slug, reason)

    mine = str(alice.id)
    write(
        tmp_path,
        [miss("a\x00", brand=mine), miss("a", brand=mine), miss("b", brand=mine), miss("gone", "expired", mine)],
    )
    write(tmp_path, [miss(slug, brand=mine) for slug in "cdefa"] + [miss("off", "disabled", mine), miss("x")])
    while await drain(tmp_path, "clicks", recorder(own)):
        pass
    rows = await own.fetch("SELECT slug, reason, hits FROM missed_day WHERE brand_id = $1", alice.id)
    assert {(row[0], row[1]): row[2] for row in rows} == {
        ("a", "unknown_slug"): 3, ("b", "unknown_slug"): 1, ("c", "unknown_slug"): 1, ("(other)", "unknown_slug"): 3,
        ("gone", "expired"): 1, ("off", "disabled"): 1,
    }  # fmt: skip
    rows = await own.fetch("SELECT brand_id, slug FROM missed_day WHERE brand_id = $1", UUID(int=0))
    assert [tuple(row) for row in rows] == [(UUID(int=0), "x")]


async def test_progress_is_the_oldest_line_not_yet_drained(
    own: asyncpg.Pool, pair: tuple[Brand, Brand], tmp_path: Path
) -> None:
    alice, _ = pair
    assert clock.now() - await note_progress(own, tmp_path) < timedelta(seconds=2)
    spool = Spool(tmp_path, kind="clicks")
    earlier = clock.now() - timedelta(hours=2)
    spool.append(encode(click(alice, alice.id, at=earlier)))
    spool.append(encode(click(alice, alice.id)))
    until = await note_progress(own, tmp_path)
    assert abs(until - earlier) < timedelta(milliseconds=2)
    await spool.close()
    await drain(tmp_path, "clicks", recorder(own))
    assert clock.now() - await note_progress(own, tmp_path) < timedelta(seconds=2)
    assert await own.fetchval("SELECT count(*) FROM drain_state") == 1


async def test_a_database_that_is_away_leaves_the_segment_where_it_is(
    own: asyncpg.Pool, pair: tuple[Brand, Brand], tmp_path: Path
) -> None:
    alice, _ = pair
    path = write(tmp_path, [click(alice, alice.id)])
    away = await connect_pool(f"postgresql://nobody@/nothing?host={tmp_path}", size=1, name="tests")
    with pytest.raises(FileNotFoundError):
        await drain(tmp_path, "clicks", recorder(away))
    assert path.exists()
    assert await drain(tmp_path, "clicks", recorder(own)) == 1


async def test_only_what_is_wrong_with_a_line_sets_it_aside(pair: tuple[Brand, Brand]) -> None:
    alice, _ = pair

    async def broken(lines: Sequence[Line]) -> None:
        raise asyncpg.UndefinedColumnError("the schema is not there yet")

    with pytest.raises(asyncpg.UndefinedColumnError):
        await record_or_refuse([click(alice, alice.id)], broken)


async def test_a_slip_on_the_shared_host_is_told_to_the_brand_that_was_meant(
    own: asyncpg.Pool, pair: tuple[Brand, Brand], tmp_path: Path
) -> None:
    alice, charlie = pair
    for brand, slug, host in (
        (alice, "summer-lea", "*"),
        (charlie, "winter-max", "*"),
        (charlie, "summer-leb", "his.example"),
    ):
        await write_route(own, brand, slug, host=host, announce=False)
    asked = ["summer-leq", "summer-lea.x", "sumer-lea", "“summer-lae”", "winter-max2", "spring-lea", "wp-login.php"]
    write(tmp_path, [MissLine(str(random_ids.new_id()), None, "*", slug, "unknown_slug") for slug in asked])
    while await drain(tmp_path, "clicks", recorder(own)):
        pass
    found = {
        brand: {
            row[0] for row in await own.fetch("SELECT slug FROM missed_day WHERE brand_id = $1 AND host = '*'", brand)
        }
        for brand in (alice.id, charlie.id, UUID(int=0))
    }
    assert found == {
        alice.id: {"summer-leq", "sumer-lea", "“summer-lae”"},
        charlie.id: {"winter-max2"},
        UUID(int=0): {"summer-lea.x", "spring-lea", "wp-login.php"},
    }


@pytest.mark.parametrize("hint", ["own", "embedded"])
async def test_clicks_of_the_brands_own_people_and_what_a_page_embeds_are_kept_and_in_no_count(
    own: asyncpg.Pool, pair: tuple[Brand, Brand], tmp_path: Path, hint: str
) -> None:
    alice, _ = pair
    link_id = str(random_ids.new_id())
    lines = [
        ClickLine(str(random_ids.new_id()), str(alice.id), link_id, 7, "203.0.113.0", CHROME, "", each)
        for each in (hint, "")
    ]
    write(tmp_path, lines)
    while await drain(tmp_path, "clicks", recorder(own)):
        pass
    classes = await own.fetch("SELECT class FROM click WHERE brand_id = $1 ORDER BY id", alice.id)
    assert [CLICK_CLASSES[row[0]] for row in classes] == [hint, "human"]
    assert await own.fetchval("SELECT clicks FROM click_day WHERE brand_id = $1", alice.id) == 1
    assert await own.fetchval("SELECT count(*) FROM unique_pending WHERE brand_id = $1", alice.id) == 1
