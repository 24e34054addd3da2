"""A checkout that is connected by settings alone, through the door: signed its own way, read through its own mapping, an order in the end."""

import hashlib
import hmac
import json
from typing import Any

import asyncpg
import pytest

from app import clock
from app.domain.codes import normalise
from app.intake.deliveries.recording import record_deliveries
from app.intake.deliveries.replaying import replay
from app.settings import Settings
from app.spool.records import HookLine
from app.tracking.doors import Doors
from demo.simulator import DOCUMENTS
from tests.cast import Brand, create_code, create_collaboration
from tests.tracking.asking import ask, spooled
from tests.tracking.rows import SECRET, write_source

SETTINGS = {
    "signature": {
        "header": "X-Till-Signature", "encoding": "hex", "separator": ",", "signature_key": "v1", "timestamp_key": "t",
        "message": "{timestamp}.{body}",
    },
    "mapping": {
        "amounts": "major",
        "topic": "header:X-Till-Event",
        "rules": [
            {
                "read": "order", "when": [{"at": "header:X-Till-Event", "equals": "sale"}], "order_id": "/sale/no",
                "currency": "/sale/cur", "net": "/sale/net", "codes": "/sale/vouchers/*/code",
            },
            {
                "read": "refund", "when": [{"at": "header:X-Till-Event", "equals": "return"}], "order_id": "/of",
                "refund_id": "/no", "currency": "/cur", "net": {"at": "/sum", "negate": True},
            },
        ],
    },
}  # fmt: skip
KEY = "a-long-random-secret"
SALE = {"sale": {"no": 9001, "cur": "EUR", "net": "49.90", "vouchers": [{"code": "LEA10"}]}}
RETURN = {"of": 9001, "no": "R1", "cur": "EUR", "sum": "-9.90"}


def request(event: str, document: Any, *, key: str = KEY, at_s: int | None = None) -> dict[str, Any]:
    body = json.dumps(document).encode()
    sent_s = clock.now_ms() // 1000 if at_s is None else at_s
    digest = hmac.new(key.encode(), f"{sent_s}.".encode() + body, hashlib.sha256).hexdigest()
    headers = [("X-Till-Signature", f"t={sent_s},v1={digest}"), ("X-Till-Event", event), ("X-Till-Other", "not kept")]
    return {"headers": headers, "body": body}


async def recorded(pool: asyncpg.Pool, doors: Doors, own: Settings) -> list[HookLine]:
    await doors.stop()
    lines = [line for line in spooled(own, "orders") if isinstance(line, HookLine)]
    await record_deliveries(pool, lines, secret=SECRET, settings=own)
    return lines


ORDERS = "SELECT order_id, net_minor, refunded_minor, currency FROM conversion WHERE brand_id = $1"
DELIVERIES = (
    "SELECT status, reason, detail, topic, headers::text AS headers FROM delivery WHERE brand_id = $1 ORDER BY id"
)


async def test_an_order_and_its_refund_come_through_the_door(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand, doors: Doors, own: Settings
) -> None:
    await create_code(pool, alice, await create_collaboration(pool, alice), normalise("LEA10"))
    token, _ = await write_source(pool, alice, "generic", KEY, settings=json.dumps(SETTINGS))
    for event, document in (("return", RETURN), ("sale", SALE)):
        assert (await ask(doors, "POST", f"/in/{token}", **request(event, document))).status == 200
    lines = await recorded(pool, doors, own)
    assert [set(line.headers) for line in lines] == [{"x-till-signature", "x-till-event"}] * 2
    [order] = await pool.fetch(ORDERS, alice.id)
    assert tuple(order) == ("9001", 4_990, 990, "EUR")
    verdict = await pool.fetchval("SELECT method FROM decision WHERE brand_id = $1", alice.id)
    assert verdict == "code"
    assert {row["topic"] for row in await pool.fetch(DELIVERIES, alice.id)} == {"sale", "return"}
    assert await pool.fetch(ORDERS, charlie.id) == []


async def test_a_rivals_secret_and_his_mapping_are_his_alone(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand, doors: Doors, own: Settings
) -> None:
    hers, _ = await write_source(pool, alice, "generic", KEY, settings=json.dumps(SETTINGS))
    his, _ = await write_source(pool, charlie, "generic", "charlies-own-secret")
    assert (await ask(doors, "POST", f"/in/{hers}", **request("sale", SALE, key="charlies-own-secret"))).status == 401
    # Hers, sent to his address: his source knows neither her header nor her words.
    assert (await ask(doors, "POST", f"/in/{his}", **request("sale", SALE))).status == 401
    await recorded(pool, doors, own)
    for brand, reason in ((alice, "wrong_signature"), (charlie, "missing_signature")):
        [row] = await pool.fetch(DELIVERIES, brand.id)
        assert (row["status"], row["reason"]) == ("unsigned", reason)
        assert await pool.fetch(ORDERS, brand.id) == []


async def test_an_old_message_is_refused_and_kept(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings
) -> None:
    token, _ = await write_source(pool, alice, "generic", KEY, settings=json.dumps(SETTINGS))
    old = request("sale", SALE, at_s=clock.now_ms() // 1000 - 400)
    answer = await ask(doors, "POST", f"/in/{token}", **old)
    assert (answer.status, json.loads(answer.body)["code"]) == (401, "stale_timestamp")
    await recorded(pool, doors, own)
    assert [row["reason"] for row in await pool.fetch(DELIVERIES, alice.id)] == ["stale_timestamp"]


async def test_a_message_that_a_mapping_cannot_read_is_read_again_once_it_is_mended(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings
) -> None:
    token, source_id = await write_source(pool, alice, "generic", KEY, settings=json.dumps(SETTINGS))
    odd = {"sale": {**SALE["sale"], "net": "a lot"}}
    assert (await ask(doors, "POST", f"/in/{token}", **request("sale", odd))).status == 200
    await recorded(pool, doors, own)
    [row] = await pool.fetch(DELIVERIES, alice.id)
    assert (row["status"], row["reason"]) == ("rejected", "wrong_value")
    assert '/sale/net is "a lot": an amount in major units, such as 49.90 is expected' in row["detail"]

    mended = json.loads(json.dumps(SETTINGS))
    mended["mapping"]["rules"][0]["net"] = {"at": ["/sale/cents"], "const": 123_450, "unit": "minor"}
    await pool.execute("UPDATE source SET settings = $2::jsonb WHERE id = $1", source_id, json.dumps(mended))
    delivery_id = await pool.fetchval("SELECT id FROM delivery WHERE brand_id = $1", alice.id)
    await replay(pool, alice.id, [delivery_id], secret=SECRET)
    [order] = await pool.fetch(ORDERS, alice.id)
    assert tuple(order) == ("9001", 123_450, 0, "EUR")


@pytest.mark.parametrize(
    ("preset", "sample", "order"), [("paddle", "paddle_transaction_completed.json", "txn_01kaz8n1c3e5g7j9m2p4r6t8v0")]
)
async def test_a_preset_is_enough(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings, preset: str, sample: str, order: str
) -> None:
    token, _ = await write_source(pool, alice, "generic", KEY, settings=json.dumps({"preset": preset}))
    body = (DOCUMENTS / sample).read_bytes()
    at_s = clock.now_ms() // 1000
    digest = hmac.new(KEY.encode(), f"{at_s}:".encode() + body, hashlib.sha256).hexdigest()
    headers = [("Paddle-Signature", f"ts={at_s};h1={digest}")]
    assert (await ask(doors, "POST", f"/in/{token}", headers=headers, body=body)).status == 200
    await recorded(pool, doors, own)
    assert [row["order_id"] for row in await pool.fetch(ORDERS, alice.id)] == [order]
