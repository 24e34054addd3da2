"""A shop on Paddle, end to end: its source, the code that has the id of its discount as an alias, its signed notifications, the order."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import asyncpg
import httpx2

from app import clock
from app.intake.deliveries.recording import record_deliveries
from app.orders.redecide import redecide
from app.secret import load_secret
from app.settings import Settings
from demo.simulator import DOCUMENTS
from tests.api.calls import make_pair, post
from tests.tracking.asking import ask, running_doors, settings_for, spooled

SECRET = "pdl_ntfset_01hv6scyf7qdnzcdq01t2y8dx4"
DISCOUNT = "dsc_01k9xq4w6y8a0c2e4g6j8m0p2r"
COMPLETED = json.loads((DOCUMENTS / "paddle_transaction_completed.json").read_text())


async def send(own: Settings, path: str, *notifications: Any) -> Any:
    async with running_doors(own) as doors:
        for each in notifications:
            body, at = json.dumps(each).encode(), int(clock.now().timestamp())
            signature = hmac.new(SECRET.encode(), b"%d:%b" % (at, body), hashlib.sha256).hexdigest()
            headers = [("Paddle-Signature", f"ts={at};h1={signature}"), ("Content-Type", "application/json")]
            assert (await ask(doors, "POST", path, headers=headers, body=body)).status == 200
        await doors.stop()
        return spooled(own, "orders")


async def test_the_id_of_a_discount_that_is_an_alias_of_a_code_credits_the_code(
    dsn: str,
    tmp_path: Path,
    pool: asyncpg.Pool,
    settings: Settings,
    as_alice: httpx2.AsyncClient,
    as_charlie: httpx2.AsyncClient,
) -> None:
    for client in (as_alice, as_charlie):
        code = await post(client, "/v1/codes", {**await make_pair(client), "code": "LEA10", "aliases": [DISCOUNT]})
        assert code["aliases"] == [DISCOUNT]
    asked = {"platform": "generic", "secrets": [SECRET], "settings": {"preset": "paddle"}}
    source = await post(as_alice, "/v1/sources", asked)
    own = settings_for(dsn, tmp_path)
    unspelled = {**COMPLETED, "data": {**COMPLETED["data"], "custom_data": None, "discount_id": DISCOUNT}}
    lines = await send(own, httpx2.URL(source["url"]).path, unspelled)
    await record_deliveries(pool, lines, secret=load_secret(own), settings=own)
    while await redecide(pool):
        pass
    [found] = (await as_alice.get("/v1/conversions")).json()["data"]
    order = (await as_alice.get(f"/v1/conversions/{found['id']}")).json()
    [candidate] = order["attribution"]["candidates"]
    assert (candidate["code"], candidate["code_alias"], candidate["reason"]) == ("LEA10", DISCOUNT, "code_owner")
    [credit] = order["attribution"]["credits"]
    assert credit["net_minor"] == order["net_minor"] == 9_000
    assert (await as_charlie.get("/v1/conversions")).json()["data"] == []
