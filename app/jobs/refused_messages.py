"""Finds messages that name a missing order and were refused: the difference between “never sent” and “sent, and refused”."""

import asyncio
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import unquote_plus
from uuid import UUID

import asyncpg

from app.domain import ids

DELIVERIES_MAX = 5_000
"""Messages searched, the newest first."""
PAGE_ROWS = 100
"""Messages read at once."""
BODY_BYTES_MAX = 64 << 10
"""Searched part of a body, in bytes: on every platform the order's id stands near the beginning."""
NAME_CHARACTERS_MIN = 4
"""Shortest order id that is searched for: a shorter one stands in half of all messages as a quantity or a price."""
LATE = timedelta(days=7)
"""Time after the span in which a shop may still report its orders."""

REFUSED = """
SELECT id, status, reason, headers::text AS headers, substring(body FOR $4) AS body FROM delivery
WHERE brand_id = $1 AND status = ANY($6::text[]) AND id >= $2 AND id < $3 ORDER BY id DESC LIMIT $5
"""

_BETWEEN = re.compile(r"[\s\"',;:{}\[\]()<>&=?#\\]+")


@dataclass(frozen=True, slots=True)
class RefusedMessage:
    """A message that was not used. status: `rejected` or `unsigned`."""

    id: UUID
    status: str
    reason: str | None


async def messages_naming(
    pool: asyncpg.Pool, brand_id: UUID, refs: Collection[str], span: tuple[datetime, datetime]
) -> dict[str, RefusedMessage]:
    """For each of these orders the newest refused message of the span that names it.

    A message names an order that stands in it as a whole word, so the answer is a hint and not a proof.
    """
    wanted = {ref for ref in refs if len(ref) >= NAME_CHARACTERS_MIN}
    found: dict[str, RefusedMessage] = {}
    first, before = ids.floor_at(span[0]), ids.floor_at(span[1] + LATE)
    for _ in range(DELIVERIES_MAX // PAGE_ROWS if wanted else 0):
        rows = await pool.fetch(REFUSED, brand_id, first, before, BODY_BYTES_MAX, PAGE_ROWS, ["rejected", "unsigned"])
        for row in rows:
            for ref in wanted & _words(bytes(row["body"]), row["headers"]):
                found[ref] = RefusedMessage(row["id"], row["status"], row["reason"])
            wanted -= found.keys()
            # A long body takes milliseconds, and the drain waits for its turn on this event loop.
            await asyncio.sleep(0)
        if len(rows) < PAGE_ROWS or not wanted:
            break
        before = rows[-1]["id"]
    return found


def _words(body: bytes, headers: str) -> set[str]:
    text = f"{body.decode('utf-8', 'replace')} {headers}"
    return set(_BETWEEN.split(text)) | set(_BETWEEN.split(unquote_plus(text)))
