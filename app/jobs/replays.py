"""The job `replay`: reads and records stored deliveries again, batch by batch, with a checkpoint after each."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg

from app.domain import ids
from app.intake.deliveries.replaying import Part, Replayed, Selection, add_up, next_selected, replay_batch
from app.jobs.run import Interrupted, JobLine, Run

LISTED = frozenset({"rejected", "unsigned"})
"""Statuses of the deliveries that get a line of the job: somebody has to look at them."""
LAST = UUID(int=2**128 - 1)
"""An id above every delivery's."""


def selection_of(arguments: Mapping[str, Any], until: datetime) -> Selection | None:
    """The deliveries that a job's arguments select, received before `until`; None when they name a source that cannot exist.

    Raises ValueError for an id that is not a delivery's.
    """
    try:
        source_id = arguments.get("source_id")
        origin_id = None if source_id is None else ids.read("source", source_id)
    except ValueError:
        return None
    chosen = arguments.get("ids")
    given = (arguments.get(name) for name in ("from", "to"))
    since, to = (None if text is None else ids.floor_at(datetime.fromisoformat(text)) for text in given)
    # Deliveries chosen by id may come from a machine whose clock is ahead.
    end = ids.floor_at(until) if chosen is None else LAST
    return Selection(
        until=end if to is None else min(to, end),
        since=since,
        origin_id=origin_id,
        ids=None if chosen is None else tuple(sorted({ids.read("delivery", shown) for shown in chosen})),
        **{name: arguments.get(name) for name in ("status", "reason", "platform", "topic", "shop")},
    )


async def replay_deliveries(run: Run) -> Mapping[str, Any]:
    """Replays the deliveries that its arguments selected when the job was made; returns their numbers by outcome, and `dry_run`."""
    dry_run = bool(run.arguments.get("dry_run"))
    run.result = lambda: {"dry_run": dry_run, **add_up((), run.checkpoint.get("tally", {}))}
    selection = selection_of(run.arguments, run.created_at)
    if selection is not None and run.checkpoint:
        selection = selection.after(UUID(run.checkpoint["last"]))
    while selection is not None:
        async with run.pool.acquire() as connection:
            batch = await next_selected(connection, run.brand_id, selection)
        if not batch:
            break
        commit = partial(_commit, run)
        await replay_batch(commit, run.brand_id, batch, secret=run.secret, dry_run=dry_run, through=(Interrupted,))
        selection = selection.after(batch[-1])
    return run.result()


async def _commit(run: Run, delivery_ids: Sequence[UUID], part: Part) -> list[Replayed]:
    """Does one part, and commits with it its lines, the tally and the place to go on from."""
    replayed: list[Replayed] = []

    async def work(connection: asyncpg.Connection) -> Mapping[str, Any]:
        replayed[:] = await part(connection)
        results = {each.id: each.result for each in replayed}
        lines = []
        for number, delivery_id in enumerate(delivery_ids, run.done + 1):
            result = results.get(delivery_id)
            if result is not None and result.status in LISTED:
                details = {"delivery_id": ids.show("delivery", delivery_id)}
                lines.append(JobLine(number, result.status, result.reason, result.detail, details))
        await run.add_lines(connection, lines)
        return {"last": str(delivery_ids[-1]), "tally": add_up(replayed, run.checkpoint.get("tally", {}))}

    await run.commit(work, done=run.done + len(delivery_ids))
    return replayed
