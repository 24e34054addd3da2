"""Goal: a lead of a page that knows neither an id nor the visitor, but a code, counts once, is credited, and leaves no address behind."""

from datetime import timedelta

import asyncpg
import time_machine
from msgspec.structs import replace

from app import clock, random_ids
from app.domain.codes import normalise
from app.intake.deliveries.replaying import replay
from app.orders.redecide import redecide
from app.spool.records import PixelLine
from tests.cast import Brand, create_code, create_collaboration
from tests.intake.test_deliveries import Record, deliveries, hit, orders, record, secret

__all__ = ["record", "secret"]

NETWORKS = ("203.0.113.0", "2001:db8:1::")
NOON = clock.now().replace(hour=12, minute=0, second=1, microsecond=0) - timedelta(days=1)


def lead(brand: Brand, network: str, minute: int = 0, **fields: str) -> PixelLine:
    """A hit of the lead's page, some seconds after its minute began."""
    with time_machine.travel(NOON + timedelta(minutes=minute, seconds=minute + len(network)), tick=False):
        line_id = str(random_ids.new_id())
    query = "&".join(f"{name}={value}" for name, value in {"event": "lead", "code": "lea-10", **fields}.items())
    return replace(hit(brand, query), id=line_id, network=network)


async def test_a_lead_without_an_id_counts_once_for_its_code_network_and_minute(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand, record: Record
) -> None:
    await create_code(pool, alice, await create_collaboration(pool, alice), normalise("LEA10"))
    await record(*(lead(alice, network) for network in (NETWORKS[0], *NETWORKS)))
    await record(lead(alice, NETWORKS[0], minute=1), lead(alice, ""), lead(charlie, NETWORKS[0]))
    while await redecide(pool):
        pass
    found = await orders(pool, alice)
    assert len(found) == 4
    for each in found:
        assert (each["kind"], each["flags"], each["net_minor"]) == ("lead", ["unsigned", "weak_order_id"], None)
        assert each["order_id"].startswith("weak:1EA10@")
    verdicts = await pool.fetch("SELECT verdict FROM decision WHERE brand_id = $1", alice.id)
    assert {row["verdict"] for row in verdicts} == {"attributed"}
    assert len(await orders(pool, charlie)) == 1


async def test_the_network_is_kept_as_a_token_alone_and_a_replay_names_the_lead_as_before(
    pool: asyncpg.Pool, alice: Brand, record: Record, secret: str
) -> None:
    await record(
        *(lead(alice, network) for network in NETWORKS),
        lead(alice, NETWORKS[0], order_id="7"),
        lead(alice, NETWORKS[0], event="sale", order_id="8"),
    )
    before = {row["order_id"] for row in await orders(pool, alice)}
    rows = await deliveries(pool, alice.id)
    assert not any(network in str(dict(row)) for row in rows for network in NETWORKS)
    assert sum("network" in row["headers"] for row in rows) == 2
    replayed = await replay(pool, alice.id, [row["id"] for row in rows], secret=secret)
    assert {each.result.status for each in replayed} == {"recorded"}
    assert {row["order_id"] for row in await orders(pool, alice)} == before
    assert len(before) == 4
