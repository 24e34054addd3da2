"""Postbacks through the real doors: by GET and POST, guarded by their token, once each, and with nothing secret left in what is kept."""

import asyncio
import json
from pathlib import Path

import asyncpg

from app.intake.deliveries.recording import record_deliveries
from app.intake.deliveries.replaying import replay
from app.settings import Settings
from app.spool.records import HookLine
from app.tracking.doors import Doors
from tests.cast import Brand, create_code, create_collaboration
from tests.tracking.asking import Answer, ask, running_doors, settings_for, spooled
from tests.tracking.rows import SECRET, write_source

TOKEN = "s3cret-of-the-network"


async def record(pool: asyncpg.Pool, doors: Doors, own: Settings, *, at_once: int = 1_000) -> list[HookLine]:
    """Brings in what the doors have taken, as several background processes side by side would, `at_once` lines each."""
    await doors.stop()
    lines = [line for line in spooled(own, "orders") if isinstance(line, HookLine)]
    batches = [lines[start : start + at_once] for start in range(0, len(lines), at_once)]
    await asyncio.gather(*(record_deliveries(pool, batch, secret=SECRET, settings=own) for batch in batches))
    return lines


async def deliveries(pool: asyncpg.Pool, brand: Brand) -> list[asyncpg.Record]:
    return await pool.fetch("SELECT * FROM delivery WHERE brand_id = $1 ORDER BY id", brand.id)


async def orders(pool: asyncpg.Pool, brand: Brand) -> list[asyncpg.Record]:
    return await pool.fetch(
        "SELECT * FROM conversion WHERE brand_id = $1 AND id = root_id AND status <> 'stub' ORDER BY order_id", brand.id
    )


def code_of(answer: Answer) -> str:
    return str(json.loads(answer.body)["code"])


async def test_an_order_by_get_or_post_is_recorded_and_credited(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand, doors: Doors, own: Settings
) -> None:
    await create_code(pool, alice, await create_collaboration(pool, alice), "1EA10")
    token, _ = await write_source(pool, alice, "postback", shop="fr")
    query = "order_id=1001&amount=49.90&currency=EUR&code=LEA10"
    got = await ask(doors, "GET", f"/in/{token}?{query}")
    posted = await ask(doors, "POST", f"/in/{token}", body=query.replace("1001", "1002").encode())
    as_json = json.dumps({"order_id": 1003, "amount": 49.90, "code": "LEA10"}).encode()
    told = await ask(
        doors, "POST", f"/in/{token}?currency=EUR", headers=[("Content-Type", "application/json")], body=as_json
    )
    for answer in (got, posted, told):
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert json.loads(answer.body)["status"] == "received"
    await record(pool, doors, own)
    found = await orders(pool, alice)
    assert [(row["order_id"], row["shop"], row["net_minor"], row["flags"]) for row in found] == [
        (name, "fr", 4_990, []) for name in ("1001", "1002", "1003")
    ]
    methods = await pool.fetch("SELECT method FROM decision WHERE brand_id = $1", alice.id)
    assert [row["method"] for row in methods] == ["code"] * 3
    # What a secret key says, and no more: a token travels in addresses.
    trusts = await pool.fetch("SELECT DISTINCT trust, door, platform FROM witness WHERE brand_id = $1", alice.id)
    assert [tuple(row) for row in trusts] == [(20, "hook", "postback")]
    assert await orders(pool, charlie) == []


async def test_two_different_gets_are_two_deliveries_and_the_same_twice_is_one(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings
) -> None:
    token, _ = await write_source(pool, alice, "postback")
    for query in ("order_id=1&amount=5", "order_id=2&amount=5", "order_id=1&amount=5"):
        assert (await ask(doors, "GET", f"/in/{token}?{query}")).status == 200
    await record(pool, doors, own)
    kept = await deliveries(pool, alice)
    assert [json.loads(row["headers"]) for row in kept] == [{":query": f"order_id={n}&amount=5"} for n in (1, 2)]
    assert [bytes(row["body"]) for row in kept] == [b"", b""]
    assert len(await orders(pool, alice)) == 2


async def test_one_postback_a_hundred_times_in_parallel_is_one_conversion(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings
) -> None:
    token, _ = await write_source(pool, alice, "postback", TOKEN)
    path = f"/in/{token}?order_id=1&amount=5.00&token={TOKEN}"
    answers = await asyncio.gather(*(ask(doors, "GET", path) for _ in range(100)))
    assert {answer.status for answer in answers} == {200}
    assert len(await record(pool, doors, own, at_once=20)) == 100
    assert len(await deliveries(pool, alice)) == 1
    [order] = await orders(pool, alice)
    assert (order["net_minor"], order["refunded_minor"], order["flags"]) == (500, 0, [])
    assert await pool.fetchval("SELECT sum(amount_minor) FROM credit WHERE brand_id = $1", alice.id) == 500


async def test_only_get_and_post_are_offered(pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings) -> None:
    token, _ = await write_source(pool, alice, "postback")
    for method in ("HEAD", "OPTIONS", "PUT", "DELETE"):
        answer = await ask(doors, method, f"/in/{token}?order_id=1")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")
    # A preview of the address by a mail client leaves no order.
    assert await record(pool, doors, own) == []


async def test_a_query_over_the_limit_is_a_413_that_names_it(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings
) -> None:
    token, _ = await write_source(pool, alice, "postback")
    answer = await ask(doors, "GET", f"/in/{token}?order_id=1&x={'x' * 17_000}")
    assert (answer.status, code_of(answer)) == (413, "body_too_large")
    assert "16384" in json.loads(answer.body)["detail"]
    assert await record(pool, doors, own) == []


async def test_the_token_is_demanded_where_the_source_has_one_and_kept_nowhere(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings
) -> None:
    token, _ = await write_source(pool, alice, "postback", "old-one-of-the-network", TOKEN)
    path = f"/in/{token}"
    passed = [
        await ask(doors, "GET", f"{path}?order_id=1&token={TOKEN}"),
        await ask(doors, "GET", f"{path}?order_id=2&verification_token=old-one-of-the-network"),
        await ask(doors, "POST", path, body=f"order_id=3&security_token={TOKEN}".encode()),
        await ask(doors, "POST", path, body=json.dumps({"order_id": "4", "token": TOKEN}).encode()),
    ]
    assert [answer.status for answer in passed] == [200] * 4
    refused = {
        "missing_signature": "order_id=5",
        "wrong_signature": f"order_id=6&token={TOKEN}x",
        "malformed_signature": f"order_id=7&token={TOKEN}&security_token=guess-of-somebody",
    }
    for reason, query in refused.items():
        answer = await ask(doors, "GET", f"{path}?{query}")
        assert (answer.status, code_of(answer)) == (401, reason)
        assert TOKEN not in answer.body.decode() + str(answer.headers)
    segments = b"".join(each.read_bytes() for each in (own.data / "spool").rglob("*.seg"))
    lines = await record(pool, doors, own)
    assert segments
    assert [(line.signed, line.reason) for line in lines] == [(True, "")] * 4 + [(False, reason) for reason in refused]
    kept = b"".join(f"{row['headers']}".encode() + bytes(row["body"]) for row in await deliveries(pool, alice))
    for text in (TOKEN, "old-one-of-the-network", "guess-of-somebody"):
        assert text.encode() not in kept
        assert text.encode() not in segments
    # What has passed need not be checked again, so not even its proof is kept.
    assert all(":token" not in line.headers for line in lines[:5])
    assert [row["order_id"] for row in await orders(pool, alice)] == ["1", "2", "3", "4"]


async def test_a_token_in_a_shape_that_is_not_read_is_refused_and_kept_nowhere(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings
) -> None:
    token, _ = await write_source(pool, alice, "postback", TOKEN)
    form = f'--b\r\nContent-Disposition: form-data; name="token"\r\n\r\n{TOKEN}\r\n--b--\r\n'
    answers = [
        await ask(doors, "GET", f"/in/{token}?order_id=1&token[]={TOKEN}"),
        await ask(doors, "POST", f"/in/{token}", body=json.dumps({"order_id": "2", "token": [TOKEN]}).encode()),
        await ask(
            doors,
            "POST",
            f"/in/{token}?order_id=3",
            headers=[("Content-Type", "multipart/form-data; boundary=b")],
            body=form.encode(),
        ),
        await ask(doors, "POST", f"/in/{token}", body=f"<order><key>{TOKEN}</key></order>".encode()),
    ]
    assert [(answer.status, code_of(answer)) for answer in answers] == [(401, "missing_signature")] * 4
    segments = b"".join(each.read_bytes() for each in (own.data / "spool").rglob("*.seg"))
    await record(pool, doors, own)
    kept = b"".join(f"{row['headers']}".encode() + bytes(row["body"]) for row in await deliveries(pool, alice))
    assert kept.count(b"hidden") == 4
    assert TOKEN.encode() not in kept + segments


async def test_a_mistyped_token_loses_nothing(
    pool: asyncpg.Pool, alice: Brand, own: Settings, tmp_path: Path, dsn: str
) -> None:
    """Told 401 and kept; replayed once the source knows the right one; and the network's own repetition is known again."""
    from app.secret import seal

    token, source_id = await write_source(pool, alice, "postback", "mistyped by somebody")
    path = f"/in/{token}?order_id=1&amount=5&token={TOKEN}"
    async with running_doors(own) as doors:
        assert (await ask(doors, "GET", path)).status == 401
        await record(pool, doors, own)
    [unsigned] = await deliveries(pool, alice)
    assert (unsigned["status"], unsigned["reason"]) == ("unsigned", "wrong_signature")
    [still] = await replay(pool, alice.id, [unsigned["id"]], secret=SECRET)
    assert still.result.status == "unsigned"
    await pool.execute(
        "UPDATE source SET secrets = $2, changed_xid = pg_current_xact_id() WHERE id = $1",
        source_id,
        [seal(SECRET, TOKEN)],
    )
    await pool.execute("SELECT pg_notify('directory', '')")
    [mended] = await replay(pool, alice.id, [unsigned["id"]], secret=SECRET)
    assert mended.result.status == "recorded"
    second = settings_for(dsn, tmp_path / "second")
    async with running_doors(second) as doors:
        assert (await ask(doors, "GET", path)).status == 200
        await record(pool, doors, second)
    assert len(await deliveries(pool, alice)) == 1
    assert [row["net_minor"] for row in await orders(pool, alice)] == [500]


async def test_a_secret_that_cannot_be_opened_lets_nobody_in(
    pool: asyncpg.Pool, alice: Brand, dsn: str, tmp_path: Path
) -> None:
    from app.settings import read_settings

    token, _ = await write_source(pool, alice, "postback", TOKEN)
    other = read_settings({}, database_url=dsn, data=tmp_path, secret_key="another" * 8)
    async with running_doors(other) as doors:
        answer = await ask(doors, "GET", f"/in/{token}?order_id=1&token={TOKEN}")
    assert (answer.status, code_of(answer)) == (401, "no_secret")


async def test_a_network_that_reports_its_own_orders_puts_no_others_in_doubt(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings
) -> None:
    """A shop with a signed webhook reports every order by it; a network reports those that are its own."""
    await write_source(pool, alice, "postback", TOKEN)
    await ask(doors, "GET", f"/p.gif?k={alice.publishable_key}&order_id=9&amount=5")
    await doors.stop()
    await record_deliveries(pool, spooled(own, "orders"), secret=SECRET, settings=own)
    assert [row["status"] for row in await orders(pool, alice)] == ["pending"]


async def test_a_refused_message_says_why_and_is_kept(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings
) -> None:
    token, _ = await write_source(pool, alice, "postback")
    assert (await ask(doors, "GET", f"/in/{token}?order_id=%7Border_id%7D&amount=5")).status == 200
    await record(pool, doors, own)
    [kept] = await deliveries(pool, alice)
    assert (kept["status"], kept["reason"]) == ("rejected", "unresolved_macro")
    assert kept["detail"].startswith("order_id is '{order_id}'")
