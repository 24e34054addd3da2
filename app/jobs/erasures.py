"""The job `privacy_erase`: takes out of orders, clicks and messages what identifies a person, and keeps every figure as it is.

A part and its checkpoint are one transaction, and what was erased once is not found again: a job that is taken over goes on. Visitors get made-up
names from a number that is drawn for the job and stands in its checkpoint only: once the job has ended, nobody can say whose name it was.
"""

import hmac
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from app import random_ids
from app.domain import ids
from app.jobs.run import JobLine, Run
from app.jobs.subjects import OF_SHOP, VISITORS_MAX, Subject, find_orders, find_visitors, next_messages, subject_of
from app.orders.erasure import MADE_UP, Erased, empty_clicks, empty_deliveries, erase_orders, erase_visitors

BATCH_ORDERS = 100
"""Orders erased in one transaction, which keeps them locked."""
RECEIPT_IDS_MAX = 100
"""Ids of each kind that the receipt names itself; the job's lines name all of them."""
NAME_CHARACTERS = 24
FIRST = UUID(int=0)
KINDS = {"conversions": "conversion", "deliveries": "delivery", "clicks": "click"}
COUNTED = ("witnesses", "adjustments", "landings", "touches")

FORGET_ANSWERS = """
DELETE FROM idempotency WHERE brand_id = $1 AND EXISTS (SELECT FROM unnest($2::text[]) AS n(name) WHERE position(n.name IN body::text) > 0)
"""
# Copies of what is erased now, made by an earlier export.
FORGET_EXPORTS = """
DELETE FROM job_piece WHERE brand_id = $1 AND job_id IN (
    SELECT DISTINCT l.job_id FROM job_line l JOIN job j ON j.brand_id = $1 AND j.id = l.job_id
    WHERE l.brand_id = $1 AND j.kind = 'privacy_export' AND l.details ->> 'id' = ANY($2::text[]))
"""


async def erase(run: Run) -> Mapping[str, Any]:
    """Erases the person of its arguments; returns the receipt: what was found and emptied, by kind, with the first ids of each."""
    subject = subject_of(run.arguments)
    run.result = lambda: receipt_of(run.checkpoint)
    if not run.checkpoint:
        await run.commit(lambda connection: _begin(run, connection, subject), done=0)
    erasing = _Erasing(run, subject)
    while await erasing.some_orders():
        pass
    await erasing.traces()
    while await erasing.some_messages():
        pass
    return receipt_of(run.checkpoint)


def receipt_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The receipt: how many of each kind, and the first ids of each."""
    found: Mapping[str, int] = checkpoint.get("found", {})
    named: Mapping[str, Sequence[str]] = checkpoint.get("ids", {})
    return {
        "found": {name: found.get(name, 0) for name in (*KINDS, *COUNTED)},
        "ids": {name: list(named.get(name, ())) for name in KINDS},
    }


def add_to_receipt(checkpoint: Mapping[str, Any], erased: Erased, status: str) -> tuple[dict[str, Any], list[JobLine]]:
    """The checkpoint with this part added, and a line for everything in it that has an id."""
    counts = dict(checkpoint.get("found", {}))
    named = {name: list(each) for name, each in checkpoint.get("ids", {}).items()}
    number = checkpoint.get("lines", 0)
    lines = []
    for name, kind in KINDS.items():
        for each in getattr(erased, name):
            number += 1
            shown = ids.show(kind, each)
            lines.append(JobLine(number, status, details={"kind": kind, "id": shown}))
            if len(named.setdefault(name, [])) < RECEIPT_IDS_MAX:
                named[name].append(shown)
        counts[name] = counts.get(name, 0) + len(getattr(erased, name))
    for name in COUNTED:
        counts[name] = counts.get(name, 0) + getattr(erased, name)
    return {**checkpoint, "found": counts, "ids": named, "lines": number}, lines


async def _begin(run: Run, connection: asyncpg.Connection, subject: Subject) -> Mapping[str, Any]:
    visitors = await find_visitors(connection, run.brand_id, subject)
    orders = await find_orders(connection, run.brand_id, subject, visitors)
    return {"blind": random_ids.new_token("n"), "orders": [str(each) for each in orders], "visitors": visitors}


class _Erasing:
    """One erasure, from where its checkpoint stands."""

    def __init__(self, run: Run, subject: Subject) -> None:
        self.run = run
        self.subject = subject

    def rename(self, name: str) -> str:
        """The made-up name of a visitor or customer."""
        blind = self.run.checkpoint["blind"].encode()
        return MADE_UP + hmac.digest(blind, name.encode(), "sha256").hex()[:NAME_CHARACTERS]

    async def some_orders(self) -> bool:
        """Erases the next orders; False when none are left."""
        checkpoint = self.run.checkpoint
        after = UUID(checkpoint.get("after_order", str(FIRST)))
        if self.subject.whole_shop:
            rows = await self.run.pool.fetch(OF_SHOP, self.run.brand_id, self.subject.shop, after, BATCH_ORDERS)
            batch = [row["id"] for row in rows]
        else:
            batch = [each for each in map(UUID, checkpoint["orders"]) if each > after][:BATCH_ORDERS]
        if not batch:
            return False

        async def work(connection: asyncpg.Connection) -> Mapping[str, Any]:
            erased = await erase_orders(connection, self.run.brand_id, batch, self.rename)
            return await self._note(connection, erased, after_order=str(batch[-1]))

        await self.run.commit(work, done=self.run.done + len(batch))
        return True

    async def traces(self) -> None:
        """Erases the click that was asked for and its visitors, and copies in earlier answers."""

        async def work(connection: asyncpg.Connection) -> Mapping[str, Any]:
            brand_id, checkpoint = self.run.brand_id, self.run.checkpoint
            erased = await erase_visitors(connection, brand_id, checkpoint["visitors"], self.rename)
            once = set(erased.clicks)
            erased.clicks += [
                each for each in await empty_clicks(connection, brand_id, self.subject.clicks) if each not in once
            ]
            names = [*self.subject.customer_keys, *checkpoint["visitors"]]
            await connection.execute(FORGET_ANSWERS, brand_id, names)
            return await self._note(connection, erased, traced=True)

        if not self.run.checkpoint.get("traced"):
            await self.run.commit(work, done=self.run.done)

    async def some_messages(self) -> bool:
        """Looks through the next messages and empties those about the person, with the orders that they report; False when none are left."""
        checkpoint = self.run.checkpoint
        after = UUID(checkpoint.get("after_message", str(FIRST)))
        async with self.run.pool.acquire() as connection:
            batch = await next_messages(self.run, connection, self.subject, checkpoint["visitors"], (), after)
        if batch is None:
            return False
        # A customer's id may stand in a message only: the order goes by the e-mail.
        orders = {each.row["conversion_id"] for each in batch.matches if each.is_order} - {None}
        met = {visitor for each in batch.matches for visitor in each.visitors} if self.subject.whole_shop else set()

        async def work(connection: asyncpg.Connection) -> Mapping[str, Any]:
            brand_id = self.run.brand_id
            erased = await erase_orders(connection, brand_id, orders, self.rename) if orders else Erased()
            erased.add(await erase_visitors(connection, brand_id, met, self.rename))
            found = [each.row["id"] for each in batch.matches]
            erased.deliveries += await empty_deliveries(connection, brand_id, found)
            return await self._note(connection, erased, after_message=str(batch.last))

        await self.run.commit(work, done=self.run.done + 1)
        return True

    async def _note(self, connection: asyncpg.Connection, erased: Erased, **reached: object) -> Mapping[str, Any]:
        """Writes the lines of this part; the checkpoint after it."""
        checkpoint, lines = add_to_receipt(self.run.checkpoint, erased, "erased")
        await self.run.add_lines(connection, lines)
        shown = [str(line.details["id"]) for line in lines]
        await connection.execute(FORGET_EXPORTS, self.run.brand_id, shown)
        return {**checkpoint, "visitors": self._known(checkpoint["visitors"], erased.visitors), **reached}

    def _known(self, before: Collection[str], more: Collection[str]) -> list[str]:
        # A whole shop's messages are all emptied, whomever they name.
        return [] if self.subject.whole_shop else sorted({*before, *more})[:VISITORS_MAX]
