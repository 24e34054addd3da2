"""Selects deliveries by a filter, batch by batch, oldest first."""

from dataclasses import dataclass, replace
from uuid import UUID

from app.database.transactions import Connection

BATCH_ROWS = 200
BATCH_BYTES = 8 << 20
"""Most rows and bytes of bodies in one batch: one transaction, which locks its orders for a few tenths of a second."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A filter of deliveries. since: the least id. until: the first id after the last. ids: only these."""

    until: UUID
    since: UUID | None = None
    status: str | None = None
    reason: str | None = None
    platform: str | None = None
    topic: str | None = None
    shop: str | None = None
    origin_id: UUID | None = None
    ids: tuple[UUID, ...] | None = None

    def after(self, last: UUID) -> "Selection":
        """The part of the selection after the id `last`."""
        return replace(self, since=UUID(int=last.int + 1))

    def where(self, brand_id: UUID) -> tuple[str, list[object]]:
        """The condition and its arguments. It names only the fields that are set, so that an index can serve it."""
        conditions = ["brand_id = $1", "id < $2"]
        values: list[object] = [brand_id, self.until]
        for name in ("status", "reason", "platform", "topic", "shop", "origin_id"):
            if getattr(self, name) is not None:
                values.append(getattr(self, name))
                conditions.append(f"{name} = ${len(values)}")
        if self.since is not None:
            values.append(self.since)
            conditions.append(f"id >= ${len(values)}")
        if self.ids is not None:
            values.append(self.ids)
            conditions.append(f"id = ANY(${len(values)}::uuid[])")
        return " AND ".join(conditions), values


async def measure_selected(connection: Connection, brand_id: UUID, selection: Selection, most: int) -> tuple[int, int]:
    """The number of selected deliveries and the bytes of their bodies, counted for at most `most` + 1 of them."""
    where, values = selection.where(brand_id)
    limited = f"SELECT octet_length(body) AS bytes FROM delivery WHERE {where} LIMIT {most + 1:d}"  # noqa: S608  words of `where` alone
    counting = f"SELECT count(*), coalesce(sum(bytes), 0)::bigint FROM ({limited}) AS found"  # noqa: S608
    row = await connection.fetchrow(counting, *values)
    assert row is not None
    return row[0], row[1]


async def next_selected(connection: Connection, brand_id: UUID, selection: Selection) -> list[UUID]:
    """The first ids of a selection, oldest first: one batch, whose bodies fit into memory. [] when there is none."""
    where, values = selection.where(brand_id)
    query = f"SELECT id, octet_length(body) AS bytes FROM delivery WHERE {where} ORDER BY id LIMIT {BATCH_ROWS:d}"  # noqa: S608  words of `where` alone
    chosen: list[UUID] = []
    total_bytes = 0
    for row in await connection.fetch(query, *values):
        total_bytes += row["bytes"]
        if chosen and total_bytes > BATCH_BYTES:
            break
        chosen.append(row["id"])
    return chosen
