"""Keeps what the doors know in step with the database, and asks it about what they do not know.

In step: everything is read once in pages, then what changed. A change is announced by NOTIFY, and found without it by a poll: every row
carries the transaction that wrote it last, and a poll reads all rows written by transactions that had not ended at the poll before: those at
or above its horizon (`pg_snapshot_xmin`) that its snapshot did not see. Reading above the highest transaction seen would lose for good what
an older transaction commits later.

asyncpg is imported in a thread: that takes longer than everything else that has to happen before the first redirect.
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

PAGE_ROWS = 500
"""Rows read before the loop is given back: about 2 ms."""
CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 10.0
CATCH_UP_EVERY_S = 0.02
PAUSE_MIN_S = 0.05
PAUSE_MAX_S = 2.0
TELL_AFTER_S = 5.0
"""A database that starts beside us or restarts is no news."""

ASK_TIMEOUT_S = 2.0
ASK_ROWS = 500
"""Rows asked for in one statement."""
ASK_WAITING = 5_000
"""Rows that may wait to be asked for; beyond, the doors say that they cannot know."""
ASK_PAUSE_S = 0.25
"""After a failure nobody asks for so long: a flood of unknown slugs must not be a flood of connection attempts."""
KEY_MAX_CHARS = 320

log = logging.getLogger("ariane.directory")


class Statements(NamedTuple):
    """How one table is read. `keyed` takes `arguments(keys)`; `read` makes (key, packed row, or None when it is not in force) of a record."""

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


def _read_host(record: Any) -> tuple[str, bytes | None]:
    host, in_force, brand_id = record
    return host, pack(brand_id) if in_force else None


def _split_routes(keys: Sequence[str]) -> tuple[list[str], list[str]]:
    pairs = [key.rpartition("/") for key in keys]
    return [host or SHARED_HOST for host, _, _ in pairs], [slug for _, _, slug in pairs]


STATEMENTS = {
    "host": Statements(
        # Archived ones too: a name that was a brand's must never lead to the links of the shared host, which are other brands'.
        "SELECT host, true, brand_id::text FROM host",
        "host = ANY($1::text[])",
        lambda keys: (list(keys),),
        _read_host,
    ),
    "route": Statements(
        """SELECT host, slug, brand_id::text, link_id::text, destination_url, click_param,
                  coalesce((extract(epoch FROM expires_at) * 1000)::bigint, 0), disabled
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

# Written by a transaction that had not ended at the poll before. The first half is what the index answers; the second leaves out what was
# read already while a long transaction holds the horizon back.
SINCE = "changed_xid >= $1 AND NOT pg_visible_in_snapshot(changed_xid, $2::text::pg_snapshot)"
# One statement, because nearly every poll finds nothing.
CHANGED = """SELECT pg_snapshot_xmin(pg_current_snapshot()) AS horizon, pg_current_snapshot()::text AS snapshot,
                    (SELECT version_num FROM alembic_version) AS schema,
                    EXISTS (SELECT FROM host WHERE SINCE) AS host,
                    EXISTS (SELECT FROM route WHERE SINCE) AS route,
                    EXISTS (SELECT FROM api_key WHERE SINCE) AS api_key,
                    EXISTS (SELECT FROM source WHERE SINCE) AS source""".replace("SINCE", SINCE)
# A database that was restored has gone back in time, and its transaction numbers with it: then nothing of the old horizon holds.
IDENTITY = """SELECT format('%s/%s/%s', system_identifier, timeline_id,
                            (SELECT oid FROM pg_database WHERE datname = current_database()))
              FROM pg_control_system(), pg_control_checkpoint()"""


class Follower:
    """Follows one database for one memory.

    loaded: everything has been read once, or came from a snapshot. fresh: the database answered the last time it was asked.
    schema: the revision it was last seen at; schema_wanted: the one this release needs. identity and horizon: what the memory is worth (snapshot.py).
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
        self._asked: dict[str, dict[str, asyncio.Future[bytes | None]]] = {table: {} for table in TABLES}
        self._asking: asyncio.Task[None] | None = None
        # A connection of its own: the other one may be busy reading a million rows.
        self._asker: asyncpg.Connection | None = None
        self._ask_again_at_s = 0.0

    def resume(self, identity: str | None, horizon: int) -> None:
        """Take the memory for complete up to this horizon of this database (it came from a snapshot). Before `start`."""
        self.identity, self.horizon, self.loaded = identity, horizon, True

    def start(self) -> None:
        """Begin to follow, in a task of its own."""
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Let go of the database."""
        for task in (self._task, self._asking, self._driver):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        if self._asker is not None:
            self._asker.terminate()
            self._asker = None
        self.fresh = False

    # ── In step ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _follow(self) -> None:
        pause_s, lost_at_s, told = PAUSE_MIN_S, clock.monotonic_s(), False
        while True:
            try:
                connection = await self._connect("directory")
                try:
                    await self._listen(connection)
                finally:
                    if self.fresh:
                        pause_s, lost_at_s, told = PAUSE_MIN_S, clock.monotonic_s(), False
                    connection.terminate()
            except Exception as error:
                # Whatever it is (the network, a restart, a schema that does not fit): it is tried again, and told once when it lasts.
                if not told and clock.monotonic_s() - lost_at_s > TELL_AFTER_S:
                    told = True
                    log.warning("the database cannot be followed, going on with what is known: %r", error)
            self.fresh = False
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_MAX_S)

    async def _connect(self, name: str) -> "asyncpg.Connection":
        if self._driver is None:
            self._driver = asyncio.create_task(asyncio.to_thread(_load_driver))
        driver, self.schema_wanted = await asyncio.shield(self._driver)
        settings = {"application_name": f"ariane-{name}", "timezone": "UTC"}
        connection: asyncpg.Connection = await driver.connect(
            self._dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S, server_settings=settings
        )
        return connection

    async def _listen(self, connection: "asyncpg.Connection") -> None:
        """Catch up now, at every notification and at every poll; returns never, raises when the connection is lost."""
        heard = asyncio.Event()
        connection.add_termination_listener(lambda *_: heard.set())
        await connection.add_listener("directory", lambda *_: heard.set())
        while await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
            self.fresh, self.schema = True, None
            await asyncio.sleep(PAUSE_MIN_S)
        identity = await self._identity(connection)
        trusted = self.loaded and identity is not None and identity == self.identity
        # In the form of a snapshot: everything below the horizon had ended, nothing else is known.
        snapshot = f"{max(self.horizon, 1)}:{max(self.horizon, 1)}:"
        while True:
            heard.clear()
            found = await connection.fetchrow(CHANGED, self.horizon, snapshot)
            assert found is not None
            self.fresh, self.schema = True, found["schema"]
            if trusted:
                await self._read_changes(connection, [table for table in TABLES if found[table]], snapshot)
            else:
                await self._read_all(connection)
            self.horizon, snapshot = found["horizon"], found["snapshot"]
            self.identity, self.loaded, trusted = identity, True, True
            # A bulk of changes is a burst of notifications: read once for many of them.
            await asyncio.sleep(CATCH_UP_EVERY_S)
            try:
                async with asyncio.timeout(self._poll_s):
                    await heard.wait()
            except TimeoutError:
                continue

    async def _identity(self, connection: "asyncpg.Connection") -> str | None:
        """Which database this is, in which history; None where the server does not tell (then everything is read again at each connect)."""
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
        """Page by page into new tables, which then take the place of the old: what is gone from the database goes here too.

        A row changed while this runs may be read in its old state; its transaction is above the horizon taken before, so the next poll has it.
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

    # ── Asking ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def ask(self, table: str, key: str) -> bytes | None:
        """The packed row under this key, read now; None when there is none. Everybody who asks meanwhile shares one statement.

        The answer is remembered either way. Raises Unavailable when the database cannot be asked within ASK_TIMEOUT_S.
        """
        # What the database's text cannot hold is in no row of it.
        if len(key) > KEY_MAX_CHARS or not key.isprintable():
            return None
        future = self._asked[table].get(key)
        if future is None:
            if clock.monotonic_s() < self._ask_again_at_s:
                raise Unavailable("the database cannot be reached at the moment", code="database_unavailable")
            if sum(map(len, self._asked.values())) >= ASK_WAITING:
                raise Unavailable("too many look-ups wait for the database", code="database_unavailable")
            future = self._asked[table][key] = asyncio.get_running_loop().create_future()
            if self._asking is None:
                self._asking = asyncio.create_task(self._answer())
        # Shielded: one visitor who goes away must not cancel the others' wait.
        return await asyncio.shield(future)

    async def _answer(self) -> None:
        try:
            while any(self._asked.values()):
                for table in TABLES:
                    await self._answer_some(table)
        except Exception as error:
            self._ask_again_at_s = clock.monotonic_s() + ASK_PAUSE_S
            log.debug("directory: cannot ask: %s: %s", type(error).__name__, error)
        finally:
            self._asking = None
            for waiting in self._asked.values():
                for future in waiting.values():
                    _refuse(future)
                waiting.clear()

    async def _answer_some(self, table: str) -> None:
        keys = list(self._asked[table])[:ASK_ROWS]
        if not keys:
            return
        futures = {key: self._asked[table].pop(key) for key in keys}
        generation = self._cache.generation
        try:
            found = await self._fetch(table, keys)
        except BaseException:
            for future in futures.values():
                _refuse(future)
            raise
        # Changes that came in meanwhile may be newer than this answer: then it serves those who asked, and is not kept.
        if generation == self._cache.generation:
            self._cache.apply(table, found.items())
            for key in keys:
                if found.get(key) is None:
                    self._cache.put_unknown(table, key)
        for key, future in futures.items():
            if not future.done():
                future.set_result(found.get(key))

    async def _fetch(self, table: str, keys: Sequence[str]) -> dict[str, bytes | None]:
        statements = STATEMENTS[table]
        statement = f"{statements.select} WHERE {statements.keyed}"
        async with asyncio.timeout(ASK_TIMEOUT_S):
            if self._asker is not None:
                try:
                    return await self._fetch_once(statement, statements, keys)
                except Exception as error:
                    # It may have died with a restart of the server since it was last used: a new one gets one try.
                    log.debug("directory: asking again: %s: %s", type(error).__name__, error)
            return await self._fetch_once(statement, statements, keys)

    async def _fetch_once(self, statement: str, statements: Statements, keys: Sequence[str]) -> dict[str, bytes | None]:
        try:
            if self._asker is None:
                self._asker = await self._connect("lookup")
            return dict(map(statements.read, await self._asker.fetch(statement, *statements.arguments(keys))))
        except BaseException:
            if self._asker is not None:
                self._asker.terminate()
                self._asker = None
            raise


def _load_driver() -> tuple[Any, str]:
    from app.database.migrate import head

    return importlib.import_module("asyncpg"), head()


def _refuse(future: "asyncio.Future[bytes | None]") -> None:
    if not future.done():
        future.set_exception(Unavailable("the database cannot be reached at the moment", code="database_unavailable"))
        future.exception()  # whoever asked may be gone
