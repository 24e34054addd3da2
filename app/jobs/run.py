"""Jobs: work that takes longer than a request. The API puts them into the table `job`; a background process takes them from it, one at a time.

Whoever runs a job holds its `claim` and renews `alive_at`. A process that dies falls silent, and another takes the job up again from its last
checkpoint. A sign of life from the future counts for nothing: the clock was set back since, and whoever is alive soon gives another. What a job
changes, what it counts and its checkpoint are committed together (`Run.commit`), under the claim: so nothing is done or counted twice, also when
a process that was thought dead wakes up.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from app import random_ids
from app.database.errors import DRIVER_ERRORS, is_passing
from app.database.transactions import in_transaction
from app.domain.text import storable
from app.settings import Settings

log = logging.getLogger("ariane.jobs")

ATTEMPTS_MAX = 5
"""Beginnings of a job that end neither in order nor in progress: then it is what kills its process, and it is not begun again."""
RESULT_BYTES_MAX = 512 << 10
"""A reconciliation has a waterfall for each currency of its list: some 160 there are, of 2 KB at most."""
TEXT_CHARACTERS_MAX = 500
HEARTBEATS = 4
"""Signs of life within `job_silent_s`: three may be late before a job counts as dead."""

CLAIM_LOCK = 0x61726A62  # "arjb"
"""Held while a job is chosen, or two who choose at once would each take one of the same brand: neither sees the other's before it is committed."""

# One job of a brand at a time: what it waits for is its own work, never another brand's hundred thousand rows before it.
CLAIM = """
UPDATE job SET state = 'running', claim = $1, alive_at = now(), started_at = coalesce(started_at, now()), attempts = attempts + 1
WHERE (brand_id, id) = (
    SELECT j.brand_id, j.id FROM job j
    WHERE (j.state = 'queued' OR (j.state = 'running' AND j.alive_at NOT BETWEEN now() - $2::interval AND now() + $2::interval))
      AND NOT EXISTS (
        SELECT 1 FROM job o WHERE o.brand_id = j.brand_id AND o.state = 'running'
          AND o.alive_at BETWEEN now() - $2::interval AND now() + $2::interval)
    ORDER BY j.id LIMIT 1 FOR UPDATE OF j SKIP LOCKED)
RETURNING brand_id, id, kind, arguments::text AS arguments, done, total, checkpoint::text AS checkpoint, attempts, created_at
"""
BEAT = "UPDATE job SET alive_at = now() WHERE brand_id = $1 AND id = $2 AND claim = $3 AND state = 'running'"
NOTE = """
UPDATE job SET done = greatest(done, $4), total = coalesce($5, total), checkpoint = coalesce($6::jsonb, checkpoint), alive_at = now(),
    attempts = CASE WHEN $4 > done THEN 0 ELSE attempts END
WHERE brand_id = $1 AND id = $2 AND claim = $3 AND state = 'running'
RETURNING cancelled_at
"""
RELEASE = """
UPDATE job SET state = 'queued', claim = NULL, attempts = greatest(attempts - 1, 0)
WHERE brand_id = $1 AND id = $2 AND claim = $3 AND state = 'running'
"""
FINISH = """
UPDATE job SET state = $4, result = $5::jsonb, error = $6, claim = NULL, checkpoint = NULL, finished_at = now()
WHERE brand_id = $1 AND id = $2 AND claim = $3 AND state = 'running' RETURNING id
"""
FORGET_PIECES = "DELETE FROM job_piece WHERE brand_id = $1 AND job_id = $2"
FORGET_LINES = "DELETE FROM job_line WHERE brand_id = $1 AND job_id = $2"
ADD_LINES = """
INSERT INTO job_line (brand_id, job_id, number, status, reason, detail, details)
SELECT $1, $2, r.* FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::jsonb[]) AS r
ON CONFLICT DO NOTHING
"""
PIECE = "SELECT content FROM job_piece WHERE brand_id = $1 AND job_id = $2 AND number = $3"


class JobFailed(Exception):
    """The job cannot be done; the text is the sentence that its owner reads."""


class Interrupted(Exception):
    """The job does not go on here. To be let through."""


class Cancelled(Interrupted):
    """Its owner does not want it any more. What it has done stays."""


class Stopped(Interrupted):
    """This process is told to stop; the job goes on elsewhere or later, from its checkpoint."""


class Lost(Interrupted):
    """Somebody else has taken the job up: this process was silent for too long."""


@dataclass(frozen=True, slots=True)
class JobLine:
    """What a job says of one line. number: unique in the job. status: a word of the job's kind. details: flat, shown as they are."""

    number: int
    status: str
    reason: str | None = None
    detail: str | None = None
    details: Mapping[str, str | int | bool | None] = field(default_factory=dict)


Work = Callable[[asyncpg.Connection], Awaitable[Mapping[str, Any] | None]]
"""A part of a job, in a transaction. What it answers is the checkpoint."""


class Run:
    """One job in the hands of this process.

    arguments: as they were enqueued. checkpoint: as last committed, {} at first. told: what the job has to say so far; its result when it is
    cancelled or fails.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        settings: Settings,
        secret: str,
        row: asyncpg.Record,
        claim: UUID,
        stopping: asyncio.Event,
    ) -> None:
        self.pool = pool
        self.settings = settings
        self.secret = secret
        self.brand_id: UUID = row["brand_id"]
        self.id: UUID = row["id"]
        self.kind: str = row["kind"]
        self.created_at = row["created_at"]
        self.arguments: dict[str, Any] = json.loads(row["arguments"])
        self.checkpoint: dict[str, Any] = json.loads(row["checkpoint"] or "{}")
        self.done: int = row["done"]
        self.told: dict[str, Any] = {}
        self.attempts: int = row["attempts"]
        self._claim = claim
        self._stopping = stopping

    async def commit(
        self,
        work: Work | None = None,
        *,
        done: int,
        total: int | None = None,
        checkpoint: Mapping[str, Any] | None = None,
    ) -> None:
        """Does a part of the job (a second at most) and notes how far it is, in one transaction; lets others work afterwards.

        `work` may run again when it loses a deadlock; the checkpoint it answers goes before `checkpoint`. Raises Cancelled or Stopped after the
        commit, Lost instead of it; what `work` raises goes through, with nothing committed.
        """

        async def part(connection: asyncpg.Connection) -> tuple[bool, Mapping[str, Any] | None]:
            reached = (None if work is None else await work(connection)) or checkpoint
            noted = None if reached is None else json.dumps(reached)
            row = await connection.fetchrow(NOTE, self.brand_id, self.id, self._claim, done, total, noted)
            if row is None:
                raise Lost
            return row["cancelled_at"] is not None, reached

        cancelled, reached = await in_transaction(self.pool, part)
        self.done = done
        if reached is not None:
            self.checkpoint = dict(reached)
        if cancelled:
            raise Cancelled
        if self._stopping.is_set():
            raise Stopped
        await asyncio.sleep(0)

    async def add_lines(self, connection: asyncpg.Connection, lines: Sequence[JobLine]) -> None:
        """Keeps lines, in the transaction of `commit`."""
        if lines:
            await connection.execute(
                ADD_LINES,
                self.brand_id,
                self.id,
                [line.number for line in lines],
                [line.status for line in lines],
                [line.reason for line in lines],
                [_storable(line.detail) for line in lines],
                [json.dumps({name: _storable(value) for name, value in line.details.items()}) for line in lines],
            )

    async def forget_lines(self, connection: asyncpg.Connection) -> None:
        """For a job that begins anew rather than from a checkpoint."""
        await connection.execute(FORGET_LINES, self.brand_id, self.id)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The uploaded file, piece by piece, each read when it is asked for."""
        number = 0
        while True:
            piece = await self.pool.fetchval(PIECE, self.brand_id, self.id, number)
            if piece is None:
                return
            yield bytes(piece)
            number += 1

    async def beat(self, every_s: float) -> None:
        """Gives a sign of life again and again, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            # With the database away nobody else can take the job either.
            with suppress(*DRIVER_ERRORS):
                await self.pool.execute(BEAT, self.brand_id, self.id, self._claim)

    async def release(self) -> None:
        """Puts it back into the queue."""
        await self.pool.execute(RELEASE, self.brand_id, self.id, self._claim)

    async def finish(self, state: str, result: Mapping[str, Any] | None, error: str | None = None) -> None:
        """Ends it and forgets its upload; does nothing when the job is somebody else's by now."""
        kept = None if not result else json.dumps(result)
        assert kept is None or len(kept) <= RESULT_BYTES_MAX, "a result is a summary; lines are for the rest"

        async def end(connection: asyncpg.Connection) -> None:
            told = _storable(error)
            if await connection.fetchrow(FINISH, self.brand_id, self.id, self._claim, state, kept, told):
                await connection.execute(FORGET_PIECES, self.brand_id, self.id)

        await in_transaction(self.pool, end)


class Kind(NamedTuple):
    """A kind of job. run: does it and answers its result, a small JSON object. unit: what its progress counts."""

    run: Callable[[Run], Awaitable[Mapping[str, Any]]]
    unit: str


async def run_next(
    pool: asyncpg.Pool, settings: Settings, secret: str, kinds: Mapping[str, Kind], stopping: asyncio.Event
) -> int:
    """Takes the next job whose turn it is and runs it to its end, or until this process stops: 1; 0 when there is none.

    Several processes may run it at once. Raises what is wrong with the database; the job then waits for the next call, here or elsewhere.
    """
    if stopping.is_set():
        return 0
    claim = random_ids.new_id()
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", CLAIM_LOCK)
        row = await connection.fetchrow(CLAIM, claim, timedelta(seconds=settings.job_silent_s))
    if row is None:
        return 0
    run = Run(pool, settings, secret, row, claim, stopping)
    beating = asyncio.create_task(run.beat(settings.job_silent_s / HEARTBEATS))
    try:
        await _run(run, kinds)
    except Exception as error:
        if is_passing(error):
            # The job goes on later, from its checkpoint.
            with suppress(*DRIVER_ERRORS):
                await run.release()
        raise
    finally:
        beating.cancel()
        await asyncio.wait([beating])
    return 1


async def _run(run: Run, kinds: Mapping[str, Kind]) -> None:
    kind = kinds.get(run.kind)
    if run.attempts > ATTEMPTS_MAX:
        await run.finish("failed", None, f"it was begun {ATTEMPTS_MAX} times and never came to an end")
        return
    if kind is None:
        await run.finish("failed", None, f"this release knows no job of the kind {run.kind!r}")
        return
    try:
        await run.finish("succeeded", await kind.run(run))
    except Cancelled:
        await run.finish("cancelled", run.told)
    except Stopped:
        await run.release()
    except Lost:
        log.warning("job %s was taken up elsewhere: this process was silent for too long", run.id)
    except JobFailed as error:
        await run.finish("failed", run.told, str(error))
    except Exception as error:
        if is_passing(error):
            raise
        log.exception("job %s failed", run.id)
        await run.finish(
            "failed", run.told, "something went wrong on our side; the log has the details under the job's id"
        )


def _storable(value: str | int | bool | None) -> str | int | bool | None:
    return storable(value, TEXT_CHARACTERS_MAX) if isinstance(value, str) else value
