"""The directory against the real database: nothing is unknown before it was asked, no change is missed, and it runs without the database."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from app import clock, random_ids
from app.directory import rollout
from app.directory.cache import UNKNOWN_FOR_S, Cache, pack
from app.directory.follower import SESSION
from app.directory.lookup import KNOWN_WAIT_S, Directory
from app.directory.rollout import wait_until_read
from app.directory.snapshot import VERSION
from app.errors import Unavailable
from app.settings import read_settings
from tests.cast import Brand
from tests.tracking.relay import Relay
from tests.tracking.rows import NOTIFY, fresh_slug, write_host, write_route, write_source

HOST = "go.test"


def made(dsn: str, snapshot: Path, *, poll_ms: int = 60_000, unknown_rows: int = 100) -> Directory:
    settings = read_settings({}, data=snapshot.parent)
    shown = {"database_url": dsn, "directory_poll_ms": poll_ms, "directory_cache_rows": unknown_rows}
    return Directory(msgspec.structs.replace(settings, **shown))


@asynccontextmanager
async def following(
    dsn: str, snapshot: Path, *, poll_ms: int = 60_000, unknown_rows: int = 100, fresh: bool = True
) -> AsyncIterator[Directory]:
    directory = made(dsn, snapshot, poll_ms=poll_ms, unknown_rows=unknown_rows)
    await directory.start()
    try:
        if fresh:
            await until(lambda: directory.ready and directory.fresh)
        yield directory
    finally:
        await directory.stop()


async def until(happened: Callable[[], bool], within_s: float = 5) -> None:
    async with asyncio.timeout(within_s):
        while not happened():  # noqa: ASYNC110  nobody announces it
            await asyncio.sleep(0.005)


def destination(directory: Directory, slug: str) -> bytes | None:
    route = directory.cache.route(slug)
    return None if route is None else route.destination.plain


async def test_a_link_is_known_at_once_though_no_notification_came(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path
) -> None:
    async with following(dsn, tmp_path / "directory.snapshot") as directory:
        slug = fresh_slug()
        link_id = await write_route(pool, alice, slug, announce=False)
        route, brand_id = await directory.find_route(HOST, slug)
        assert route is not None
        assert (route.brand_id, route.link_id, brand_id) == (str(alice.id), str(link_id), None)
        assert directory.cache.route(slug) is route


async def test_a_changed_link_is_heard_of_by_notification(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path
) -> None:
    slug = fresh_slug()
    await write_route(pool, alice, slug, destination="https://shop.test/old")
    async with following(dsn, tmp_path / "directory.snapshot") as directory:
        assert destination(directory, slug) == b"https://shop.test/old"
        await write_route(pool, alice, slug, destination="https://shop.test/new")
        await until(lambda: destination(directory, slug) == b"https://shop.test/new")


async def test_a_change_that_commits_late_is_seen_by_the_poll(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path
) -> None:
    """Written by an older transaction than one whose change was polled already: polling above the highest one seen would lose it for good."""
    early, late = fresh_slug(), fresh_slug()
    for slug in (early, late):
        await write_route(pool, alice, slug, destination="https://shop.test/old")
    async with following(dsn, tmp_path / "directory.snapshot", poll_ms=50) as directory, pool.acquire() as slow:
        transaction = slow.transaction()
        await transaction.start()
        await write_route(slow, alice, late, destination="https://shop.test/late", announce=False)
        await write_route(pool, alice, early, destination="https://shop.test/early", announce=False)
        await until(lambda: destination(directory, early) == b"https://shop.test/early")
        assert destination(directory, late) == b"https://shop.test/old"
        await transaction.commit()
        await until(lambda: destination(directory, late) == b"https://shop.test/late")


async def test_a_long_transaction_elsewhere_does_not_make_every_poll_read_everything_again(
    fresh_dsn: Callable[[], "asyncio.Future[str]"], alice: Brand, tmp_path: Path
) -> None:
    own = await fresh_dsn()
    slow, quick = await asyncpg.connect(own), await asyncpg.connect(own)
    async with following(own, tmp_path / "directory.snapshot", poll_ms=20) as directory:
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute("SELECT pg_current_xact_id()")
        read: list[str] = []
        apply = directory.cache.apply

        def counting(table: str, changes: Iterable[tuple[str, bytes | None]]) -> None:
            found = list(changes)
            read.extend(key for key, _ in found)
            apply(table, found)

        directory.cache.apply = counting  # type: ignore[method-assign]
        slugs = [fresh_slug() for _ in range(20)]
        for slug in slugs:
            await write_route(quick, alice, slug, announce=False)
        await until(lambda: all(destination(directory, slug) for slug in slugs))
        polls = 0
        fetchrow = asyncpg.Connection.fetchrow

        async def polling(connection: asyncpg.Connection, *arguments: object) -> object:
            nonlocal polls
            polls += 1
            return await fetchrow(connection, *arguments)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(asyncpg.Connection, "fetchrow", polling)
            # The first may still read what was committed between the two statements of the poll before.
            await until(lambda: polls >= 2)
            read.clear()
            await until(lambda: polls >= 6)
        assert not read
        await transaction.rollback()
    await slow.close()
    await quick.close()


async def test_a_slug_taken_while_it_was_believed_unknown_is_found_when_announced(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path
) -> None:
    slug = fresh_slug()
    async with following(dsn, tmp_path / "directory.snapshot") as directory:
        assert await directory.find_route(HOST, slug) == (None, None)
        await write_route(pool, alice, slug, announce=False)
        assert await directory.find_route(HOST, slug) == (None, None)
        await pool.execute(NOTIFY)
        await until(lambda: destination(directory, slug) is not None)


async def test_what_is_unknown_is_remembered_boundedly_and_not_for_ever(
    dsn: str, alice: Brand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with following(dsn, tmp_path / "directory.snapshot", unknown_rows=20) as directory:
        for _ in range(30):
            await directory.find_route(HOST, fresh_slug())
        assert len(directory.cache._unknown) == 20
    known = Cache(unknown_rows=2)
    now_s = 1_000.0
    monkeypatch.setattr("app.clock.monotonic_s", lambda: now_s)
    known.put_unknown("route", "lea")
    assert known.is_unknown("route", "lea")
    assert not known.is_unknown("source", "lea")
    now_s += UNKNOWN_FOR_S + 1
    assert not known.is_unknown("route", "lea")


async def test_many_visitors_of_many_unknown_slugs_share_statements(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path
) -> None:
    slugs = [fresh_slug() for _ in range(300)]
    for slug in slugs[:3]:
        await write_route(pool, alice, slug, announce=False)
    async with following(dsn, tmp_path / "directory.snapshot") as directory:
        statements = 0
        fetch = directory._follower._fetch

        async def counting(table: str, keys: list[str]) -> dict[str, bytes | None]:
            nonlocal statements
            statements += 1
            return await fetch(table, keys)

        directory._follower._fetch = counting  # type: ignore[method-assign,assignment]
        found = await asyncio.gather(*(directory.find_route(HOST, slug) for slug in slugs for _ in range(3)))
        assert sum(route is not None for route, _ in found) == 9
        assert statements <= 6


async def test_one_brands_host_shows_its_own_links_only(
    dsn: str, pool: asyncpg.Pool, alice: Brand, charlie: Brand, tmp_path: Path
) -> None:
    slug, hers, his = fresh_slug(), f"{fresh_slug()}.example", f"{fresh_slug()}.example"
    async with following(dsn, tmp_path / "directory.snapshot") as directory:
        await write_host(pool, alice, hers)
        await write_host(pool, charlie, his)
        await write_route(pool, alice, slug, host=hers, destination="https://alice.test/")
        await write_route(pool, charlie, slug, host=his, destination="https://charlie.test/")
        at_hers, brand_id = await directory.find_route(hers, slug)
        assert at_hers is not None
        assert (at_hers.destination.plain, brand_id) == (b"https://alice.test/", str(alice.id))
        at_his, brand_id = await directory.find_route(his, slug)
        assert at_his is not None
        assert (at_his.destination.plain, brand_id) == (b"https://charlie.test/", str(charlie.id))
        assert await directory.find_route(HOST, slug) == (None, None)


async def test_keys_and_sources_are_found_until_they_are_revoked_or_archived(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path
) -> None:
    async with following(dsn, tmp_path / "directory.snapshot") as directory:
        token, source_id = await write_source(pool, alice, "shopify", "one", "two", shop="fr")
        source = await directory.find_source(token)
        assert source is not None
        assert (source.id, source.brand_id, source.platform, source.shop) == (
            str(source_id),
            str(alice.id),
            "shopify",
            "fr",
        )
        assert len(source.secrets) == 2
        assert "one" not in "".join(source.secrets)
        key = await directory.find_key(alice.publishable_key)
        assert key is not None
        assert (key.id, key.brand_id, key.shop) == (str(alice.publishable_id), str(alice.id), "main")
        # A secret key is no publishable one, though both stand in one table.
        assert await directory.find_key(alice.secret_key) is None
        await pool.execute(
            "UPDATE api_key SET revoked_at = now(), changed_xid = pg_current_xact_id() WHERE id = $1",
            alice.publishable_id,
        )
        await pool.execute(
            "UPDATE source SET archived_at = now(), changed_xid = pg_current_xact_id() WHERE id = $1", source_id
        )
        await pool.execute(NOTIFY)
        await until(lambda: token not in directory.cache.rows["source"])
        await until(lambda: sha256(alice.publishable_key.encode()).hexdigest() not in directory.cache.rows["api_key"])
        assert await directory.find_key(alice.publishable_key) is None
        assert await directory.find_source(token) is None


async def test_it_starts_from_its_snapshot_while_the_database_is_away(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path
) -> None:
    slug, snapshot, host = fresh_slug(), tmp_path / "directory.snapshot", f"{fresh_slug()}.example"
    await write_route(pool, alice, slug)
    await write_host(pool, alice, host)
    async with following(dsn, snapshot) as directory:
        assert await directory.save_snapshot()
        assert not await directory.save_snapshot(), "nothing changed"
    assert snapshot.stat().st_mode & 0o777 == 0o600
    nowhere = f"postgresql://ariane@/ariane?host={tmp_path}"
    async with following(nowhere, snapshot, fresh=False) as directory:
        assert directory.ready
        assert not directory.fresh
        assert directory.schema == "unknown"
        assert destination(directory, slug) == b"https://shop.test/p?size=m#top"
        assert directory.brand_of(host) == str(alice.id)
        assert await directory.find_key(alice.publishable_key) is not None
        with pytest.raises(Unavailable):
            await directory.find_route(HOST, fresh_slug())
        with pytest.raises(Unavailable):
            await directory.find_source("in_unknown")


async def test_without_snapshot_and_database_it_knows_nothing_and_says_so(tmp_path: Path) -> None:
    nowhere = f"postgresql://ariane@/ariane?host={tmp_path}"
    async with following(nowhere, tmp_path / "directory.snapshot", fresh=False) as directory:
        assert not directory.ready
        with pytest.raises(Unavailable):
            await directory.find_route(HOST, "lea")


async def test_what_changed_during_an_outage_is_known_after_it(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path
) -> None:
    slug = fresh_slug()
    await write_route(pool, alice, slug, destination="https://shop.test/old")
    relay = Relay(dsn, tmp_path)
    await relay.open()
    async with following(relay.dsn, tmp_path / "directory.snapshot") as directory:
        await directory.find_route(HOST, fresh_slug())
        await relay.cut()
        await until(lambda: not directory.fresh)
        assert directory.ready
        assert destination(directory, slug) == b"https://shop.test/old"
        with pytest.raises(Unavailable):
            await directory.find_route(HOST, fresh_slug())
        await write_route(pool, alice, slug, destination="https://shop.test/new")
        await relay.open()
        await until(lambda: destination(directory, slug) == b"https://shop.test/new")
        async with asyncio.timeout(5):
            while True:
                try:
                    assert await directory.find_route(HOST, fresh_slug()) == (None, None)
                    break
                except Unavailable:
                    await asyncio.sleep(0.05)
    await relay.cut()


async def test_a_snapshot_of_another_database_is_replaced_whole(
    dsn: str, fresh_dsn: Callable[[], "asyncio.Future[str]"], pool: asyncpg.Pool, alice: Brand, tmp_path: Path
) -> None:
    """A restored or exchanged database has other rows under lower transaction numbers: no horizon of the old one holds."""
    slug, snapshot = fresh_slug(), tmp_path / "directory.snapshot"
    await write_route(pool, alice, slug)
    async with following(dsn, snapshot) as directory:
        await directory.save_snapshot(now=True)
    other = await fresh_dsn()
    directory = made(other, snapshot)
    await directory.start()
    try:
        assert destination(directory, slug) is not None
        await until(lambda: directory.fresh and destination(directory, slug) is None)
        assert await directory.find_route(HOST, slug) == (None, None)
    finally:
        await directory.stop()


async def test_a_restart_reads_only_what_changed_since_the_snapshot(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path
) -> None:
    slug, snapshot = fresh_slug(), tmp_path / "directory.snapshot"
    await write_route(pool, alice, slug, destination="https://shop.test/old")
    async with following(dsn, snapshot) as directory:
        await directory.save_snapshot(now=True)
    await write_route(pool, alice, slug, destination="https://shop.test/new")
    directory = made(dsn, snapshot)
    await directory.start()
    whole: list[str] = []
    directory.cache.replace = lambda tables: whole.append("replaced")  # type: ignore[method-assign]
    try:
        await until(lambda: destination(directory, slug) == b"https://shop.test/new")
        assert not whole
    finally:
        await directory.stop()


@pytest.mark.parametrize("harm", ["version", "cut", "flipped", "empty"])
async def test_a_damaged_snapshot_is_no_snapshot(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path, harm: str
) -> None:
    snapshot = tmp_path / "directory.snapshot"
    await write_route(pool, alice, fresh_slug())
    async with following(dsn, snapshot) as directory:
        await directory.save_snapshot(now=True)
    good = bytearray(snapshot.read_bytes())
    flipped = bytearray(good)
    flipped[-20] ^= 1
    snapshot.write_bytes(
        {"version": bytes([VERSION + 1]) + good[1:], "cut": good[:-30], "flipped": bytes(flipped), "empty": b""}[harm]
    )
    nowhere = f"postgresql://ariane@/ariane?host={tmp_path}"
    async with following(nowhere, snapshot, fresh=False) as directory:
        assert not directory.ready
        assert not directory.cache.rows["route"]


async def test_a_snapshot_that_cannot_be_written_leaves_the_old_one(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "directory.snapshot"
    async with following(dsn, snapshot) as directory:
        await write_route(pool, alice, fresh_slug())
        await directory.save_snapshot(now=True)
        before = snapshot.read_bytes()
        slug = fresh_slug()
        await write_route(pool, alice, slug)
        await until(lambda: destination(directory, slug) is not None)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr("os.fsync", full)
            with pytest.raises(OSError, match="No space"):
                await directory.save_snapshot(now=True)
        assert snapshot.read_bytes() == before
        assert os.listdir(tmp_path) == ["directory.snapshot"]
        assert await directory.save_snapshot(now=True), "the failed one does not count as saved"


async def test_a_big_load_gives_the_loop_back_between_pages(
    dsn: str, pool: asyncpg.Pool, fresh_dsn: Callable[[], "asyncio.Future[str]"], tmp_path: Path
) -> None:
    own = await fresh_dsn()
    connection = await asyncpg.connect(own)
    await connection.execute(
        """INSERT INTO route (host, slug, brand_id, link_id, destination_url, click_param)
           SELECT '*', 's' || i, $1, $1, 'https://shop.test/?a=' || i, 'ariane' FROM generate_series(1, 20000) AS i""",
        uuid4(),
    )
    await connection.close()
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    async with following(own, tmp_path / "directory.snapshot") as directory:
        counting.cancel()
        assert len(directory.cache.rows["route"]) == 20_000
        assert turns > 40, "at least one turn a page"
        assert not directory.cache.routes, "nothing is taken apart before it is asked for"


def test_a_row_that_did_not_change_is_not_taken_apart_again() -> None:
    known = Cache(unknown_rows=10)
    row = pack(["b", "l", "https://shop.test/", "ariane", 0, False, None])
    known.apply("route", [("lea", row)])
    route, generation = known.route("lea"), known.generation
    known.apply("route", [("lea", bytes(row))])
    assert known.route("lea") is route
    assert known.generation == generation


def test_only_so_many_routes_are_kept_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.directory.cache.ROUTES_MAX", 3)
    known = Cache(unknown_rows=10)
    known.apply(
        "route", [(f"s{n}", pack(["b", "l", f"https://shop.test/{n}", "ariane", 0, False, None])) for n in range(5)]
    )
    for n in (0, 1, 2, 3, 4, 0):
        route = known.route(f"s{n}")
        assert route is not None
        assert route.destination.plain == b"https://shop.test/%d" % n
    assert list(known.routes) == ["s3", "s4", "s0"]


async def test_an_archived_host_never_leads_to_the_links_of_the_shared_host(
    pool: asyncpg.Pool, dsn: str, tmp_path: Path
) -> None:
    name = f"go-{random_ids.new_id().hex}.example"
    brand_id = random_ids.new_id()
    await pool.execute(
        "INSERT INTO host (host, brand_id, created_at, archived_at) VALUES ($1, $2, now(), now())", name, brand_id
    )
    directory = made(dsn, tmp_path / "directory.snapshot")
    await directory.start()
    try:
        route, owner = await directory.find_route(name, "no-such-slug")
        assert route is None
        assert owner == str(brand_id)
    finally:
        await directory.stop()


# ── A change that holds everywhere ───────────────────────────────────────────────────────────────────────────────────


async def test_a_changed_source_is_known_to_every_process_before_the_wait_ends(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path
) -> None:
    token, _ = await write_source(pool, alice, "generic")
    snapshot = tmp_path / "directory.snapshot"
    async with following(dsn, snapshot) as one, following(dsn, snapshot) as other:
        for number in range(30):
            settings = f'{{"preset": "p{number}"}}'
            await pool.execute(
                "UPDATE source SET settings = $2::jsonb, changed_xid = pg_current_xact_id() WHERE token = $1",
                token,
                settings,
            )
            await wait_until_read(pool)
            for directory in (one, other):
                source = await directory.find_source(token)
                assert source is not None
                assert source.settings == settings


async def test_nobody_waits_for_a_process_that_has_stopped(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path
) -> None:
    await wait_until_read(pool)
    async with following(dsn, tmp_path / "directory.snapshot"):
        pass
    await wait_until_read(pool)


async def test_a_process_that_does_not_answer_is_said_after_a_limit(
    dsn: str, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout, "WAIT_S", 0.2)
    monkeypatch.setattr(rollout, "ASK_EVERY_S", 0.05)
    mute = await asyncpg.connect(dsn, server_settings={"application_name": SESSION})
    try:
        with pytest.raises(Unavailable) as caught:
            await wait_until_read(pool)
        assert caught.value.code == "not_everywhere_yet"
    finally:
        await mute.close()


async def test_a_process_that_does_not_follow_reads_a_source_anew_and_else_uses_what_it_knows(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path
) -> None:
    token, _ = await write_source(pool, alice, "generic")
    async with following(dsn, tmp_path / "directory.snapshot") as directory:
        assert await directory.find_source(token) is not None
        await directory.stop()
        await pool.execute('UPDATE source SET settings = \'{"preset": "new"}\' WHERE token = $1', token)
        source = await directory.find_source(token)
        assert source is not None
        assert source.settings == '{"preset": "new"}'


async def test_a_database_that_hangs_makes_one_message_wait_for_a_moment_and_the_next_ones_not_at_all(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path
) -> None:
    token, _ = await write_source(pool, alice, "generic")
    relay = Relay(dsn, tmp_path)
    await relay.open()
    async with following(relay.dsn, tmp_path / "directory.snapshot") as directory:
        assert await directory.find_source(token) is not None
        await relay.cut()
        await until(lambda: not directory.fresh)
        # It takes connections and never says a word.
        mute = await asyncio.start_unix_server(lambda *_: asyncio.sleep(60), tmp_path / relay.name)
        try:
            began_s = clock.monotonic_s()
            assert await directory.find_source(token) is not None
            assert clock.monotonic_s() - began_s < 1
            asked_s = clock.monotonic_s()
            for _ in range(100):
                assert await directory.find_source(token) is not None
            assert clock.monotonic_s() - asked_s < KNOWN_WAIT_S
        finally:
            mute.close()
