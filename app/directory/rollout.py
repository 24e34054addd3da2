"""Waits until every web worker has read a change: the next message is then taken by it, whichever worker it reaches.

A question is sent to all followers with the notification of a change, and each answers it after its next read of the database. Who has to answer is in
PostgreSQL's list of sessions, so nobody waits for a worker that has stopped. A worker that follows the database no more, or not yet, reads a source
from the database when a message comes (`Directory.find_source`).
"""

import asyncio
from typing import Any

import asyncpg

from app import clock, random_ids
from app.directory.follower import ANSWERS, CHANNEL, SESSION
from app.errors import Unavailable

WAIT_S = 5.0
"""Longest wait for all followers; one that is reading a million routes at its start needs about as long."""
ASK_EVERY_S = 0.5
"""Pause after which the question is repeated: a follower may not have listened yet, or its session may be gone."""
ASK = "SELECT pg_notify($1, $2)"
FOLLOWERS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1"


async def wait_until_read(pool: asyncpg.Pool) -> None:
    """Returns once every follower of this database has read all that was committed before the call. Raises Unavailable after WAIT_S."""
    question = random_ids.new_id().hex
    answered: set[int] = set()
    heard = asyncio.Event()

    def hear(_connection: Any, _pid: int, _channel: str, text: object) -> None:
        asked, _, pid = str(text).partition(" ")
        if asked == question:
            answered.add(int(pid))
            heard.set()

    deadline_s = clock.monotonic_s() + WAIT_S
    async with pool.acquire() as connection:
        await connection.add_listener(ANSWERS, hear)
        try:
            while clock.monotonic_s() < deadline_s:
                followers = {row["pid"] for row in await connection.fetch(FOLLOWERS, SESSION)}
                if followers <= answered:
                    return
                await connection.execute(ASK, CHANNEL, question)
                await _heard_all(followers, answered, heard)
        finally:
            await connection.remove_listener(ANSWERS, hear)
    raise Unavailable(
        "stored, but a web worker has not read it yet and may go on as before for a moment; send the same again",
        code="not_everywhere_yet",
    )


async def _heard_all(followers: set[int], answered: set[int], heard: asyncio.Event) -> None:
    """Until all of these have answered, for ASK_EVERY_S at most."""
    try:
        async with asyncio.timeout(ASK_EVERY_S):
            while not followers <= answered:
                heard.clear()
                await heard.wait()
    except TimeoutError:
        return
