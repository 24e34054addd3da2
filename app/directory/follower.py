"""Keeps the cache in step with the database, and queries the database for rows that are not cached.

All rows are read once in pages, then only changes. A change is announced by NOTIFY, and found without it by polling: every row carries the
transaction that last wrote it, and a poll reads the rows of transactions that had not ended at the previous poll, i.e. those at or above its
horizon (`pg_snapshot_xmin`) that its snapshot did not see. Reading only above the highest transaction seen would miss what an older transaction
commits later.

asyncpg is imported in a thread: that takes longer than everything else before the first redirect.
"""

import asyncio
import importlib
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from app import clock
from app.directory.cache import SHARED_HOST, TABLES, Cache, pack, route_key
from app.errors import Unavailable

if TYPE_CHECKING:
    import asyncpg

CHANNEL = "directory"
"""Channel on which changes are announced; a text beside it is a question (rollout.py)."""
SESSION = "ariane-directory"
"""Name of a follower's session in PostgreSQL's list."""
ANSWERS = "directory_read"
"""Channel on which a follower answers: the question, and the process id of its session."""
ANSWER = "SELECT pg_notify($2, question || ' ' || pg_backend_pid()) FROM unnest($1::text[]) AS question"
PAGE_ROWS = 500
"""Rows read before other tasks run: about 2 ms."""
CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 10.0
CATCH_UP_EVERY_S = 0.02
PAUSE_MIN_S = 0.05
PAUSE_MAX_S = 2.0
LOG_AFTER_S = 5.0
"""Length of an outage after which it is logged; a start or restart of the database is not."""

LOOKUP_TIMEOUT_S = 2.0
LOOKUP_ROWS = 500
"""Rows looked up by one statement."""
LOOKUPS_WAITING_MAX = 5_000
"""Largest number of waiting lookups; beyond it the doors answer 503."""
LOOKUP_PAUSE_S = 0.25
"""Pause after a failed lookup: a flood of unknown slugs must not become a flood of connection attempts."""
KEY_MAX_CHARS = 320

log = logging.getLogger("ariane.directory")


class Statements(NamedTuple):
    """How one table is read. `keyed` takes `arguments(keys)`; `read` turns a record into (key, packed row), the row None if revoked or archived."""

    select: str
    keyed: str
    arguments: Callable[[Sequence[str]], tuple[list[Any], ...]]
    read: Callable[[Any], tuple[str, bytes | None]]


def _read_route(record: Any) -> tuple[str, bytes | None]:
    host, slug, *row = record
    return route_key(host, slug), pack(row)


def _read_plain(record: Any) -> tuple[str, bytes | None]:
    key, in_force, *row = record
    return key, pack(row) if in_force else None


def _split_routes(keys: Sequence[str]) -> tuple[list[str], list[str]]:
    pairs = [key.rpartition("/") for key in keys]
    return [host or SHARED_HOST for host, _, _ in pairs], [slug for _, _, slug in pairs]


STATEMENTS = {
    "host": Statements(
        # Archived hosts too: a brand's former host must never serve the shared host's links, which belong to other brands.
        "SELECT host, brand_id::text, pages::text FROM host",
        "host = ANY($1::text[])",
        lambda keys: (list(keys),),
        lambda record: (record[0], pack(record[1:])),
    ),
    "door_rule": Statements(
        "SELECT brand_id::text, forward_query, own_networks, gpc FROM door_rule",
        "brand_id = ANY($1::uuid[])",
        lambda keys: (list(keys),),
        lambda record: (record[0], pack(record[1:])),
    ),
    "route": Statements(
        """SELECT host, slug, brand_id::text, link_id::text, destination_url, click_param,
                  coalesce((extract(epoch FROM expires_at) * 1000)::bigint, 0), disabled, forward_query
           FROM route""",
        "(host, slug) IN (SELECT * FROM unnest($1::text[], $2::text[]))",
        _split_routes,
        _read_route,
    ),
    "api_key": Statements(
        """SELECT encode(key_hash, 'hex'), revoked_at IS NULL AND kind = 'publishable', id::text, brand_id::text,
                  coalesce(shop, 'main')
           FROM api_key""",
        "key_hash = ANY($1::bytea[])",
        lambda keys: ([bytes.fromhex(key) for key in keys],),
        _read_plain,
    ),
    "source": Statements(
        """SELECT token, archived_at IS NULL, id::text, brand_id::text, platform, shop, secrets, settings::text
           FROM source""",
        "token = ANY($1::text[])",
        lambda keys: (list(keys),),
        _read_plain,
    ),
}

# Rows of transactions that had not ended at the previous poll. The first condition uses the index; the second skips rows that were already read
# while a long transaction holds the horizon back.
SINCE = "changed_xid >= $1 AND NOT pg_visible_in_snapshot(changed_xid, $2::text::pg_snapshot)"
# A single statement, because nearly every poll finds nothing.
CHANGED = """SELECT pg_snapshot_xmin(pg_current_snapshot()) AS horizon, pg_current_snapshot()::text AS snapshot,
                    (SELECT version_num FROM alembic_version) AS schema,
                    EXISTS (SELECT FROM host WHERE SINCE) AS host,
                    EXISTS (SELECT FROM door_rule WHERE SINCE) AS door_rule,
                    EXISTS (SELECT FROM route WHERE SINCE) AS route,
                    EXISTS (SELECT FROM api_key WHERE SINCE) AS api_key,
                    EXISTS (SELECT FROM source WHERE SINCE) AS source""".replace("SINCE", SINCE)
# A restored database has gone back in time, and its transaction numbers with it: the old horizon is then meaningless.
IDENTITY = """SELECT format('%s/%s/%s', system_identifier, timeline_id,
                            (SELECT oid FROM pg_database WHERE datname = current_database()))
              FROM pg_control_system(), pg_control_checkpoint()"""


class Follower:
    """Keeps one cache in step with one database.

    loaded: all rows were read once, or came from a snapshot, whose identity and horizon (see snapshot.Head) are then set before `start`.
    fresh: the last query succeeded. schema: the revision last seen; schema_wanted: the one this release needs.
    """

    def __init__(self, cache: Cache, dsn: str, *, poll_ms: int) -> None:
        self.loaded = False
        self.fresh = False
        self.schema: str | None = None
        self.schema_wanted: str | None = None
        self.identity: str | None = None
        self.horizon = 0
        self._cache = cache
        self._dsn = dsn
        self._poll_s = poll_ms / 1000
        self._driver: asyncio.Task[Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: dict[str, dict[str, asyncio.Future[bytes | None]]] = {table: {} for table in TABLES}
        self._answering: asyncio.Task[None] | None = None
        # A separate connection: the other one may be busy reading a million rows.
        self._lookup_connection: asyncpg.Connection | None = None
        self._retry_lookup_at_s = 0.0

    def start(self) -> None:
        """Begin to follow the database in a task."""
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Disconnect from the database."""
        for task in (self._task, self._answering, self._driver):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        self._disconnect_lookup()
        self.fresh = False

    # ── Following ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _follow(self) -> None:
        pause_s, lost_at_s, logged = PAUSE_MIN_S, clock.monotonic_s(), False
        while True:
            try:
                connection = await self._connect(SESSION)
                try:
                    await self._listen(connection)
                finally:
                    if self.fresh:
                        pause_s, lost_at_s, logged = PAUSE_MIN_S, clock.monotonic_s(), False
                    connection.terminate()
            except Exception as error:
                # Any failure (network, restart, unfitting schema) is retried, and logged once if it lasts.
                if not logged and clock.monotonic_s() - lost_at_s > LOG_AFTER_S:
                    logged = True
                    log.warning("the database cannot be followed, going on with what is known: %r", error)
            self.fresh = False
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_MAX_S)

    async def _connect(self, name: str) -> "asyncpg.Connection":
        if self._driver is None:
            self._driver = asyncio.create_task(asyncio.to_thread(_load_driver))
        driver, self.schema_wanted = await asyncio.shield(self._driver)
        settings = {"application_name": name, "timezone": "UTC"}
        connection: asyncpg.Connection = await driver.connect(
            self._dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S, server_settings=settings
        )
        return connection

    async def _listen(self, connection: "asyncpg.Connection") -> None:
        """Catch up now, at every notification and at every poll. Never returns; raises when the connection is lost."""
        notified = asyncio.Event()
        connection.add_termination_listener(lambda *_: notified.set())
        asked: set[str] = set()

        def hear(_connection: object, _pid: int, _channel: str, text: object) -> None:
            asked.add(str(text))
            notified.set()

        await connection.add_listener(CHANNEL, hear)
        while await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
            self.fresh, self.schema = True, None
            await asyncio.sleep(PAUSE_MIN_S)
        identity = await self._identity(connection)
        trusted = self.loaded and identity is not None and identity == self.identity
        # Written as a snapshot: all transactions below the horizon had ended, nothing is known about later ones.
        snapshot = f"{max(self.horizon, 1)}:{max(self.horizon, 1)}:"
        while True:
            notified.clear()
            # What is asked from here on is answered after the next read: this one may begin before the change in question.
            questions = sorted(filter(None, asked))
            asked.clear()
            found = await connection.fetchrow(CHANGED, self.horizon, snapshot)
            assert found is not None
            self.fresh, self.schema = True, found["schema"]
            if trusted:
                await self._read_changes(connection, [table for table in TABLES if found[table]], snapshot)
            else:
                await self._read_all(connection)
            self.horizon, snapshot = found["horizon"], found["snapshot"]
            self.identity, self.loaded, trusted = identity, True, True
            if questions:
                await connection.execute(ANSWER, questions, ANSWERS)
            # A bulk of changes is a burst of notifications: many are handled by one read.
            await asyncio.sleep(CATCH_UP_EVERY_S)
            try:
                async with asyncio.timeout(self._poll_s):
                    await notified.wait()
            except TimeoutError:
                continue

    async def _identity(self, connection: "asyncpg.Connection") -> str | None:
        """Which database this is, and which timeline; None where the role may not ask (all rows are then read again at each connect)."""
        from asyncpg import InsufficientPrivilegeError

        try:
            return str(await connection.fetchval(IDENTITY))
        except InsufficientPrivilegeError:
            return None

    async def _read_changes(self, connection: "asyncpg.Connection", tables: Sequence[str], snapshot: str) -> None:
        for table in tables:
            statement = f"{STATEMENTS[table].select} WHERE {SINCE}"
            async with connection.transaction(readonly=True):
                cursor = await connection.cursor(statement, self.horizon, snapshot)
                while records := await cursor.fetch(PAGE_ROWS):
                    self._cache.apply(table, map(STATEMENTS[table].read, records))

    async def _read_all(self, connection: "asyncpg.Connection") -> None:
        """Read all rows page by page into new tables that then replace the old: rows deleted from the database disappear here too.

        A row changed meanwhile may be read in its old state; its transaction is above the horizon taken before, so the next poll reads it.
        """
        fresh: dict[str, dict[str, bytes]] = {}
        for table in TABLES:
            rows = fresh[table] = {}
            async with connection.transaction(readonly=True):
                cursor = await connection.cursor(STATEMENTS[table].select)
                while records := await cursor.fetch(PAGE_ROWS):
                    read = map(STATEMENTS[table].read, records)
                    rows.update({key: packed for key, packed in read if packed is not None})
        self._cache.replace(fresh)

    # ── Looking up ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def look_up(self, table: str, key: str) -> bytes | None:
        """The packed row under this key, read from the database now; None if there is none. Concurrent lookups share a statement.

        The answer is cached either way. Raises Unavailable when the database does not answer within LOOKUP_TIMEOUT_S.
        """
        # No row can contain what the database's text cannot hold.
        if len(key) > KEY_MAX_CHARS or not key.isprintable():
            return None
        future = self._waiting[table].get(key)
        if future is None:
            if clock.monotonic_s() < self._retry_lookup_at_s:
                raise _unreachable()
            if sum(map(len, self._waiting.values())) >= LOOKUPS_WAITING_MAX:
                raise Unavailable("too many look-ups wait for the database", code="database_unavailable")
            future = self._waiting[table][key] = asyncio.get_running_loop().create_future()
            if self._answering is None:
                self._answering = asyncio.create_task(self._answer())
        # Shielded: a visitor who goes away must not cancel the wait of others.
        return await asyncio.shield(future)

    async def _answer(self) -> None:
        taken: dict[str, asyncio.Future[bytes | None]] = {}
        try:
            while any(self._waiting.values()):
                for table, waiting in self._waiting.items():
                    keys = list(waiting)[:LOOKUP_ROWS]
                    taken = {key: waiting.pop(key) for key in keys}
                    generation = self._cache.generation
                    found = await self._fetch(table, keys) if keys else {}
                    # Changes applied meanwhile may be newer than this answer: it is then given to the callers but not cached.
                    if generation == self._cache.generation:
                        self._cache.apply(table, found.items())
                        for key in keys:
                            if found.get(key) is None:
                                self._cache.put_unknown(table, key)
                    for key, future in taken.items():
                        if not future.done():
                            future.set_result(found.get(key))
        except Exception as error:
            self._retry_lookup_at_s = clock.monotonic_s() + LOOKUP_PAUSE_S
            log.debug("directory: lookup failed: %s: %s", type(error).__name__, error)
        finally:
            self._answering = None
            for waiting in (taken, *self._waiting.values()):
                for future in waiting.values():
                    if not future.done():
                        future.set_exception(_unreachable())
                        future.exception()  # retrieved, because the caller may be gone
                waiting.clear()

    async def _fetch(self, table: str, keys: Sequence[str]) -> dict[str, bytes | None]:
        select, keyed, arguments, read = STATEMENTS[table]
        async with asyncio.timeout(LOOKUP_TIMEOUT_S):
            while True:
                reused = self._lookup_connection is not None
                try:
                    if self._lookup_connection is None:
                        self._lookup_connection = await self._connect("ariane-lookup")
                    rows = await self._lookup_connection.fetch(f"{select} WHERE {keyed}", *arguments(keys))
                    return dict(map(read, rows))
                except BaseException as error:
                    self._disconnect_lookup()
                    # The server may have restarted since the connection was last used: retry once over a new one.
                    if not reused or not isinstance(error, Exception):
                        raise
                    log.debug("directory: looking up again: %s: %s", type(error).__name__, error)

    def _disconnect_lookup(self) -> None:
        if self._lookup_connection is not None:
            self._lookup_connection.terminate()
            self._lookup_connection = None


def _load_driver() -> tuple[Any, str]:
    from app.database.migrate import head

    return importlib.import_module("asyncpg"), head()


def _unreachable() -> Unavailable:
    return Unavailable("the database cannot be reached at the moment", code="database_unavailable")
