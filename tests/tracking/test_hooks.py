"""The webhook door: what is acknowledged is on the disk, and one mistyped secret loses nothing."""

import base64
import hmac
import json
from pathlib import Path

import asyncpg
import pytest

from app.settings import Settings
from app.spool.records import HookLine
from app.spool.writer import SpoolFull
from app.tracking.doors import Doors
from tests.cast import Brand
from tests.tracking.asking import Answer, ask, running_doors, settings_for, spooled
from tests.tracking.rows import write_source

BODY = b'{"id": 1, "note": "caf\xc3\xa9"}'


def signed(secret: str, body: bytes = BODY) -> list[tuple[str, str]]:
    signature = base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()
    return [
        ("X-Shopify-Hmac-Sha256", signature),
        ("X-Shopify-Topic", "orders/create"),
        ("Content-Type", "application/json"),
        ("Authorization", "Bearer not to be kept"),
        ("Cookie", "not=kept"),
    ]


async def kept(doors: Doors, own: Settings) -> list[HookLine]:
    await doors.stop()
    return [line for line in spooled(own, "orders") if isinstance(line, HookLine)]


def problem(answer: Answer) -> dict[str, object]:
    assert answer.headers["content-type"] == "application/problem+json"
    told = json.loads(answer.body)
    assert set(told) == {
        "type",
        "title",
        "status",
        "detail",
        "instance",
        "code",
        "request_id",
        "retryable",
        "errors",
        "errors_left_out",
    }
    assert told["status"] == answer.status
    assert told["request_id"] == answer.headers["x-request-id"]
    assert told["type"] == f"urn:ariane:problem:{told['code']}"
    return dict(told)


async def test_a_signed_message_is_kept_with_its_raw_bytes_and_acknowledged(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings
) -> None:
    token, source_id = await write_source(pool, alice, "shopify", "old secret", "shpss_1", shop="fr")
    answer = await ask(doors, "POST", f"/in/{token}?a=1", headers=signed("shpss_1"), body=[BODY[:5], BODY[5:]])
    assert answer.status == 200
    told = json.loads(answer.body)
    assert told["status"] == "received"
    [line] = await kept(doors, own)
    assert told["id"].startswith("dlv_")
    assert (line.brand_id, line.source_id, line.platform, line.shop) == (str(alice.id), str(source_id), "shopify", "fr")
    assert (line.signed, line.reason, line.body, line.query) == (True, "", BODY, "a=1")
    assert set(line.headers) == {"x-shopify-hmac-sha256", "x-shopify-topic", "content-type"}


@pytest.mark.parametrize(
    ("headers", "reason", "advice"),
    [
        (signed("another secret"), "wrong_signature", "copy the sender's secret again"),
        (signed("shpss_1", BODY + b"\n"), "wrong_signature", "copy the sender's secret again"),
        ([("X-Shopify-Hmac-Sha256", "***")], "malformed_signature", "check the source's platform"),
        ([], "missing_signature", "check that no proxy removes its headers"),
    ],
)
async def test_a_wrong_signature_is_told_401_with_what_to_do_and_the_message_kept_for_a_replay(
    pool: asyncpg.Pool,
    alice: Brand,
    doors: Doors,
    own: Settings,
    headers: list[tuple[str, str]],
    reason: str,
    advice: str,
) -> None:
    token, _ = await write_source(pool, alice, "shopify", "shpss_1")
    answer = await ask(doors, "POST", f"/in/{token}", headers=headers, body=BODY)
    assert answer.status == 401
    told = problem(answer)
    assert told["code"] == reason
    assert advice in str(told["detail"])
    assert "kept" in str(told["detail"])
    assert "www-authenticate" in answer.headers
    [line] = await kept(doors, own)
    assert (line.signed, line.reason, line.body) == (False, reason, BODY)


async def test_a_clock_that_is_wrong_and_a_secret_that_is_missing_are_each_told_so(
    pool: asyncpg.Pool, alice: Brand, doors: Doors
) -> None:
    token, _ = await write_source(pool, alice, "generic", "secret")
    late = f"m1.1700000000.{BODY.decode()}".encode()
    signature = base64.b64encode(hmac.digest(b"secret", late, "sha256")).decode()
    headers = [
        ("webhook-id", "m1"),
        ("webhook-timestamp", "1700000000"),
        ("webhook-signature", f"v1,{signature}"),
    ]
    told = problem(await ask(doors, "POST", f"/in/{token}", headers=headers, body=BODY))
    assert told["code"] == "stale_timestamp"
    assert "set the sender's clock" in str(told["detail"])
    unarmed, _ = await write_source(pool, alice, "generic")
    told = problem(await ask(doors, "POST", f"/in/{unarmed}", headers=headers, body=BODY))
    assert told["code"] == "no_secret"
    assert "set its `secrets`" in str(told["detail"])


async def test_a_secret_sealed_with_another_key_refuses_and_keeps(
    pool: asyncpg.Pool, alice: Brand, dsn: str, tmp_path: Path
) -> None:
    from app.settings import read_settings

    token, _ = await write_source(pool, alice, "shopify", "shpss_1")
    other = read_settings({}, database_url=dsn, data=tmp_path, secret_key="another" * 8)
    async with running_doors(other) as doors:
        answer = await ask(doors, "POST", f"/in/{token}", headers=signed("shpss_1"), body=BODY)
    assert answer.status == 401
    [line] = spooled(other, "orders")
    assert isinstance(line, HookLine)
    assert not line.signed


async def test_unsigned_messages_of_one_source_cannot_fill_the_disk(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand, dsn: str, tmp_path: Path
) -> None:
    own = settings_for(dsn, tmp_path, unsigned_cap_rows=3)
    token, _ = await write_source(pool, alice, "shopify", "shpss_1")
    his, _ = await write_source(pool, charlie, "shopify", "shpss_1")
    async with running_doors(own) as doors:
        for _ in range(6):
            assert (await ask(doors, "POST", f"/in/{token}", body=BODY)).status == 401
        assert (await ask(doors, "POST", f"/in/{token}", headers=signed("shpss_1"), body=BODY)).status == 200
        assert (await ask(doors, "POST", f"/in/{his}", body=BODY)).status == 401
    lines = [line for line in spooled(own, "orders") if isinstance(line, HookLine)]
    assert [(line.brand_id, line.signed) for line in lines] == [
        *[(str(alice.id), False)] * 3,
        (str(alice.id), True),
        (str(charlie.id), False),
    ]


async def test_an_unknown_token_is_a_404_and_nothing_is_kept(doors: Doors, own: Settings) -> None:
    for path in ("/in/in_nobody", "/in/", "/in", "/in/a/b", "/in/%00", "/in/" + "x" * 5000):
        answer = await ask(doors, "POST", path, body=BODY)
        assert answer.status == 404, path
        assert problem(answer)["code"] == "unknown_token"
    assert await kept(doors, own) == []


async def test_a_token_is_known_at_once_and_matched_exactly(pool: asyncpg.Pool, alice: Brand, doors: Doors) -> None:
    await ask(doors, "POST", "/in/warm-up")
    token, _ = await write_source(pool, alice, "shopify", "shpss_1")
    assert (await ask(doors, "POST", f"/in/{token}", headers=signed("shpss_1"), body=BODY)).status == 200
    assert (await ask(doors, "POST", f"/in/{token.swapcase()}", headers=signed("shpss_1"), body=BODY)).status == 404


async def test_a_body_over_the_limit_is_a_413_that_names_it(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings
) -> None:
    token, _ = await write_source(pool, alice, "generic", "secret")
    announced = await ask(doors, "POST", f"/in/{token}", headers=[("Content-Length", str(10 << 20))])
    grown = await ask(doors, "POST", f"/in/{token}", body=[b"x" * (3 << 20)] * 4)
    query = await ask(doors, "POST", f"/in/{token}?" + "x" * 20_000)
    for answer in (announced, grown, query):
        assert answer.status == 413
        assert problem(answer)["code"] == "body_too_large"
    assert str(own.body_max_bytes) in str(problem(announced)["detail"])
    assert await kept(doors, own) == []


async def test_somebody_who_opens_the_address_in_a_browser_leaves_nothing(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings
) -> None:
    token, _ = await write_source(pool, alice, "shopify", "secret")
    for method in ("GET", "HEAD", "OPTIONS", "PUT"):
        answer = await ask(doors, method, f"/in/{token}")
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert await kept(doors, own) == []


async def test_nothing_is_acknowledged_that_is_not_on_the_disk(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, _ = await write_source(pool, alice, "shopify", "shpss_1")

    async def refuse() -> None:
        raise SpoolFull("the disk is ill")

    with monkeypatch.context() as patched:
        patched.setattr(doors.orders, "synced", refuse)
        for headers in (signed("shpss_1"), signed("wrong")):
            answer = await ask(doors, "POST", f"/in/{token}", headers=headers, body=BODY)
            assert answer.status == 503
            assert problem(answer)["retryable"] is True
    metrics = (await ask(doors, "GET", "/metrics")).body
    assert b'ariane_hooks_total{outcome="not_stored"} 2.0' in metrics


async def test_webhooks_are_taken_while_the_database_is_away(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path
) -> None:
    token, _ = await write_source(pool, alice, "shopify", "shpss_1")
    async with running_doors(settings_for(dsn, tmp_path)) as doors:
        await doors.directory.save_snapshot(now=True)
    away = settings_for(f"postgresql://ariane@/ariane?host={tmp_path}", tmp_path)
    async with running_doors(away, ready=False) as doors:
        assert (await ask(doors, "POST", f"/in/{token}", headers=signed("shpss_1"), body=BODY)).status == 200
        # This one may exist since: the sender is asked to come back.
        unknown = await ask(doors, "POST", "/in/in_not_in_memory", body=BODY)
        assert unknown.status == 503
        assert problem(unknown)["code"] == "database_unavailable"
    assert len(spooled(away, "orders")) == 1


async def test_any_bytes_survive_the_spool(pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings) -> None:
    token, _ = await write_source(pool, alice, "shopify", "shpss_1")
    body = bytes(range(256)) * 3
    headers = [*signed("shpss_1", body), ("X-Shopify-Name", "caf\xe9")]
    assert (await ask(doors, "POST", f"/in/{token}?q=\xe9", headers=headers, body=body)).status == 200
    [line] = await kept(doors, own)
    assert (line.body, line.headers["x-shopify-name"], line.query) == (body, "caf\xe9", "q=\xe9")
