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
    since, to = (None if arguments.get(name) is None else _floor(arguments[name]) for name in ("from", "to"))
    # Deliveries chosen by id may come from a machine whose clock is ahead.
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
    """Replays the deliveries that its arguments selected when the job was made; returns their numbers by outcome, and `dry_run`."""
    selection = selection_of(run.arguments, run.created_at)
    if selection is None:
        return _result(run)
    if run.checkpoint:
        selection = selection.after(UUID(run.checkpoint["last"]))
    while True:
        async with run.pool.acquire() as connection:
            batch = await next_selected(connection, run.brand_id, selection)
        if not batch:
            return _result(run)
        await replay_batch(
            partial(_commit, run),
            run.brand_id,
            batch,
            secret=run.secret,
            dry_run=_is_dry(run),
            through=(Interrupted,),
        )
        selection = selection.after(batch[-1])


def _is_dry(run: Run) -> bool:
    return bool(run.arguments.get("dry_run"))


def _result(run: Run) -> dict[str, Any]:
    return {"dry_run": _is_dry(run), **add_up((), run.checkpoint.get("tally", {}))}


async def _commit(run: Run, delivery_ids: Sequence[UUID], part: Part) -> list[Replayed]:
    """Does one part, and commits with it its lines, the tally and the place to go on from."""
    replayed: list[Replayed] = []

    async def work(connection: asyncpg.Connection) -> Mapping[str, Any]:
        replayed[:] = await part(connection)
        await run.add_lines(connection, _lines(run.done, delivery_ids, replayed))
        return {"last": str(delivery_ids[-1]), "tally": add_up(replayed, run.checkpoint.get("tally", {}))}

    try:
        await run.commit(work, done=run.done + len(delivery_ids))
    finally:
        run.result = _result(run)
    return replayed


def _lines(done: int, delivery_ids: Sequence[UUID], replayed: Sequence[Replayed]) -> list[JobLine]:
    results = {each.id: each.result for each in replayed}
    return [
        JobLine(done + place, result.status, result.reason, result.detail, {"delivery_id": ids.show("delivery", each)})
        for place, each in enumerate(delivery_ids, 1)
        if (result := results.get(each)) is not None and result.status in LISTED
    ]
