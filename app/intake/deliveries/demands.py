"""Carries out what a shop system demands about shoppers' data: a job for each demand, made in the transaction that keeps its message.

The job has the id of the message. A replay makes no second one, and whoever looks at the message knows which job it became.
"""

from collections.abc import Sequence

import asyncpg
import msgspec

from app import clock
from app.domain import ids
from app.domain.orders import PrivacyDemand
from app.intake.deliveries.messages import Message

# A local table: in a statement of its own.
ENQUEUE = """
INSERT INTO job (brand_id, id, kind, arguments, unit, created_at) VALUES ($1, $2, $3, $4::jsonb, 'parts', $5) ON CONFLICT DO NOTHING
"""
DONE = {
    "export": "its answer is made by {job}: fetch the file at /v1/privacy/exports/{job} and hand it on",
    "erase": "carried out by {job}",
}


async def carry_out(
    connection: asyncpg.Connection, brand_id: object, demands: Sequence[tuple[Message, PrivacyDemand]]
) -> None:
    """Puts a job into the queue for each of these demands; none for those that have one already."""
    for message, demand in demands:
        arguments = {"shop": message.shop, **msgspec.to_builtins(demand.of)}
        kind = f"privacy_{demand.action}"
        encoded = msgspec.json.encode(arguments).decode()
        await connection.execute(ENQUEUE, brand_id, message.id, kind, encoded, clock.now())


def answer(message: Message, demand: PrivacyDemand) -> str:
    """What a delivery says about the demand that it brought."""
    return DONE[demand.action].format(job=ids.show("job", message.id))
