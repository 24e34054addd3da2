"""The job `replay`: kept deliveries read and recorded once more, a batch and a checkpoint at a time."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg

from app.domain import ids
from app.intake.deliveries.replaying import Part, Replayed, Tally, replay_batch
from app.intake.deliveries.selection import Selection, next_selected
from app.jobs.run import Interrupted, JobLine, Run

LISTED = frozenset({"rejected", "unsigned"})
"""What the job's lines tell of: those that somebody has to look at."""
LAST = UUID(int=2**128 - 1)


def selection_of(arguments: Mapping[str, Any], until: datetime) -> Selection | None:
    """The deliveries that a job's arguments name, none received at `until` or later; None when they name a source there cannot be.

    Raises ValueError for an id that is none of a delivery.
    """
    try:
        source_id = arguments.get("source_id")
        origin_id = None if source_id is None else ids.read("source", source_id)
    except ValueError:
        return None
    chosen = arguments.get("ids")
    since, to = (None if arguments.get(name) is None else _floor(arguments[name]) for name in ("from", "to"))
    # Named ones may come from a machine whose clock is ahead.
    end = ids.floor_at(until) if chosen is None else LAST
    return Selection(
        until=end if to is None else min(to, end),
        since=since,
        origin_id=origin_id,
        ids=None if chosen is None else tuple(sorted({ids.read("delivery", shown) for shown in chosen})),
        **{name: arguments.get(name) for name in ("status", "reason", "platform", "topic", "shop")},
    )


def _floor(text: str) -> UUID:
    return ids.floor_at(datetime.fromisoformat(text))


async def replay_deliveries(run: Run) -> Mapping[str, Any]:
    """Replays what its arguments select, as it stood when the job was made; answers a Tally's words, and `dry_run`."""
    selection = selection_of(run.arguments, run.created_at)
    if selection is None:
        return {"dry_run": dry_run_of(run.arguments), **Tally().words()}
    if run.checkpoint:
        selection = selection.after(UUID(run.checkpoint["last"]))
    while True:
        async with run.pool.acquire() as connection:
            batch = await next_selected(connection, run.brand_id, selection)
        if not batch:
            return tally_of(run)
        await replay_batch(
            partial(_commit, run),
            run.brand_id,
            batch,
            secret=run.secret,
            dry_run=dry_run_of(run.arguments),
            through=(Interrupted,),
        )
        selection = selection.after(batch[-1])


def dry_run_of(arguments: Mapping[str, Any]) -> bool:
    """Whether a job only says what it would do."""
    return bool(arguments.get("dry_run"))


def tally_of(run: Run) -> dict[str, Any]:
    """What a run has to say so far."""
    return {"dry_run": dry_run_of(run.arguments), **Tally.of(run.checkpoint.get("tally", {})).words()}


async def _commit(run: Run, delivery_ids: Sequence[UUID], part: Part) -> list[Replayed]:
    """Does one part; its lines, the tally and the place to go on from are committed with it."""
    replayed: list[Replayed] = []

    async def work(connection: asyncpg.Connection) -> Mapping[str, Any]:
        replayed[:] = await part(connection)
        await run.add_lines(connection, _lines(run.done, delivery_ids, replayed))
        tally = Tally.of(run.checkpoint.get("tally", {})).add(replayed)
        return {"last": str(delivery_ids[-1]), "tally": tally.words()}

    try:
        await run.commit(work, done=run.done + len(delivery_ids))
    finally:
        run.result = tally_of(run)
    return replayed


def _lines(done: int, delivery_ids: Sequence[UUID], replayed: Sequence[Replayed]) -> list[JobLine]:
    verdicts = {each.id: each.verdict for each in replayed}
    return [
        JobLine(
            done + index, verdict.status, verdict.reason, verdict.detail, {"delivery_id": ids.show("delivery", each)}
        )
        for index, each in enumerate(delivery_ids, 1)
        if (verdict := verdicts.get(each)) is not None and verdict.status in LISTED
    ]
