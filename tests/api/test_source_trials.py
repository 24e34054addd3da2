"""The trial of a source: what works is said to work, what is broken is named, and nothing of it is left in lists and reports."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import asyncpg
import httpx2
import pytest
from uvicorn import Config, Server

from app import clock
from app.database.connections import connect_pool
from app.platforms.presets import PRESETS as CHECKOUTS
from app.platforms.registry import PLATFORMS
from app.secret import seal
from app.settings import Settings, read_settings
from app.trial import run
from tests.api.calls import Json, post
from tests.cast import Brand, create_brand
from tests.served import free_port
from tests.server.test_background import at_work
from tests.whole_app import create_app

NAMES = sorted(PLATFORMS)
SECRET = "whsec_c2VjcmV0LW9mLXRoZS1zaG9w"
LISTS = ("influencers", "campaigns", "collaborations", "links", "codes", "costs")


class Background:
    """The background process: one for all tests, because each start of it costs half a second of the processor."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.working: AsyncExitStack | None = None

    async def start(self) -> None:
        """Nothing, when it works already."""
        if self.working is None:
            self.working = AsyncExitStack()
            await self.working.enter_async_context(at_work(self.settings))

    async def stop(self) -> None:
        """Nothing, when it does not work."""
        if self.working is not None:
            await self.working.aclose()
            self.working = None


@dataclass(frozen=True, slots=True)
class Running:
    """A listening service over a database of its own."""

    url: str
    settings: Settings
    pool: asyncpg.Pool
    background: Background

    def client(self, brand: Brand) -> httpx2.AsyncClient:
        """A client that speaks for a brand, over the wire."""
        verify = run.NO_AUTHORITIES
        return httpx2.AsyncClient(base_url=self.url, headers=brand.auth, timeout=60, trust_env=False, verify=verify)


@pytest.fixture(scope="module")
async def listening(server: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """Doors and API on a port, with a background process when a test starts it."""
    from tests.conftest import copy_template

    dsn, port = await copy_template(server, template), free_port()
    data: Path = tmp_path_factory.mktemp("trials")
    settings = read_settings({}, database_url=dsn, data=data, secret_key="s" * 43, port=port, drain_interval_ms=20)
    config = Config(create_app(settings), port=port, log_config=None, lifespan="on", access_log=False, ws="none")
    server_ = Server(config)
    serving = asyncio.create_task(server_.serve())
    while not server_.started:
        assert not serving.done()
        await asyncio.sleep(0.01)
    pool = await connect_pool(dsn, size=2, name="trial tests")
    background = Background(settings)
    yield Running(f"http://127.0.0.1:{port}", settings, pool, background)
    await background.stop()
    await pool.close()
    server_.should_exit = True
    await serving


@pytest.fixture
async def working(listening: Running) -> Running:
    """The same, with the background process at work."""
    await listening.background.start()
    return listening


@pytest.fixture
async def brand(listening: Running) -> Brand:
    """A brand in that database."""
    return await create_brand(listening.pool, currency="JPY")


async def connect(client: httpx2.AsyncClient, platform: str = "shopify", **fields: object) -> Json:
    return await post(client, "/v1/sources", {"platform": platform, "secrets": [SECRET], **fields})


async def tried(client: httpx2.AsyncClient, source: Json) -> tuple[Json, dict[str, Json]]:
    report = await post(client, f"/v1/sources/{source['id']}/test", {}, status=200)
    return report, {line["step"]: line for line in report["lines"]}


def failures(report: Json) -> list[Json]:
    return [line for line in report["lines"] if line["ok"] is not True and line["step"] != "public_url"]


@pytest.mark.parametrize("platform", NAMES)
async def test_a_connection_that_works_passes_every_step(working: Running, brand: Brand, platform: str) -> None:
    async with working.client(brand) as client:
        source = await connect(client, platform)
        report, lines = await tried(client, source)
        assert failures(report) == []
        assert report["ok"] is True
        assert lines["amount"]["found"] == "4990 JPY"
        assert lines["refunded"]["found"] == "1000 JPY taken back"
        assert lines["credit"]["found"] == "100 %, attributed"
        # The address is this machine's: no shop reaches it, which is said and is no failure.
        assert (lines["public_url"]["ok"], "ARIANE_PUBLIC_URL" in lines["public_url"]["hint"]) == (None, True)
        [order] = (await client.get("/v1/conversions", params={"order_id": report["order_id"]})).json()["data"]
        assert (order["id"], order["test"], order["net_minor"]) == (report["conversion_id"], True, 4_990)
        assert order["refunded_minor"] == 1_000


@pytest.mark.parametrize(("preset", "secrets"), [("awin", []), ("everflow", [SECRET])])
async def test_a_postback_is_tried_in_the_names_of_its_preset_with_and_without_a_secret(
    working: Running, brand: Brand, preset: str, secrets: list[str]
) -> None:
    async with working.client(brand) as client:
        source = await connect(client, "postback", secrets=secrets, settings={"preset": preset})
        report, lines = await tried(client, source)
        assert failures(report) == []
        assert report["ok"] is True
        assert ("whoever knows the address" in lines["secrets"]["found"]) is not bool(secrets)
        kept = await client.get("/v1/deliveries", params={"source_id": source["id"]})
        assert SECRET not in kept.text


@pytest.mark.parametrize("preset", sorted(CHECKOUTS))
async def test_a_checkout_connected_by_a_preset_is_tried_in_its_own_messages(
    working: Running, brand: Brand, preset: str
) -> None:
    async with working.client(brand) as client:
        report, _ = await tried(client, await connect(client, "generic", settings={"preset": preset}))
        # Shopware's messages tell no refund of a part.
        untold = {"refund", "refunded"} if preset == "shopware" else set()
        assert [each for each in failures(report) if not (each["ok"] is None and each["step"] in untold)] == []
        assert report["ok"] is True


async def test_a_mapping_that_has_no_word_for_something_is_told_so(working: Running, brand: Brand) -> None:
    rule = {"read": "order", "order_id": "/id", "net": "/net", "codes": "/code", "click_id": "/click"}
    sample = {"id": "1", "net": "9.00", "code": "LEA10", "click": "clk_1", "test": True}
    for extra, order, refund in (({}, None, None), ({"test": "/test"}, True, None)):
        mapping = {"amounts": "major", "rules": [{**rule, **extra}]}
        async with working.client(brand) as client:
            source = await connect(client, "generic", settings={"mapping": mapping}, sample=sample)
            report, lines = await tried(client, source)
            assert [line for line in report["lines"] if line["ok"] is False] == []
            assert (report["ok"], lines["order"]["ok"], lines["refund"]["ok"]) == (False, order, refund), lines
            assert lines["order" if order is None else "refund"]["hint"]


async def test_conditions_that_only_ask_that_something_stands_there_are_played(working: Running, brand: Brand) -> None:
    refunds = {
        "each": "/refunds",
        "refund_id": "/id",
        "gross": "/paid_back",
        "when": [{"at": "/done_at", "present": True}],
    }
    rule = {
        "read": "order", "order_id": "/id", "net": "/net", "codes": "/code", "click_id": "/click", "test": "/test", "refunds": refunds,
        "when": [{"at": "/captured_at", "present": True}, {"at": "/id", "present": True}, {"at": "/void", "present": False}],
    }  # fmt: skip
    mapping = {"amounts": "major", "rules": [rule]}
    sample = {"id": "1", "net": "9.00", "code": "LEA10", "click": "clk_1", "test": True, "captured_at": "now"}
    async with working.client(brand) as client:
        source = await connect(client, "generic", settings={"mapping": mapping}, sample=sample)
        report, lines = await tried(client, source)
        assert [line for line in report["lines"] if line["ok"] is False] == []
        assert (lines["order"]["ok"], lines["refund"]["ok"], lines["refunded"]["ok"]) == (True, True, True)


SHOP_ORDER: Json = {
    "event": "paid", "id": "77", "number": "A-77", "total": "49.90", "money": "JPY", "at": "2026-01-01T10:00:00Z",
    "discounts": [{"type": "gift", "code": "G"}, {"type": "code", "code": "OLD"}], "meta": [{"key": "x", "value": "y"}],
}  # fmt: skip
SHOP_RULE: Json = {
    "read": "order", "when": [{"at": "/event", "equals": "paid"}, {"at": "/refunded", "present": False}], "order_id": "/id", "refs": "/number",
    "net": "/total", "currency": "/money", "codes": "/discounts/[type=code]/code", "click_id": "/meta/[key=ariane]/value", "occurred_at": "/at",
    "test": "header:X-Test",
}  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "total", "net_minor", "ok"),
    [
        ("major", "4990", 4_990, True),
        ("minor", 4_990, 4_990, True),
        # Swapped units: JPY has no decimals here, so the mapping is told another amount than the shop means.
        ("minor", 499_000, 4_990, False),
        ("major", "4990", None, None),
    ],
)
async def test_a_mapping_is_tried_on_a_sample_whose_amount_stays(
    working: Running, brand: Brand, unit: str, total: object, net_minor: int | None, ok: bool | None
) -> None:
    settings = {"mapping": {"amounts": unit, "rules": [SHOP_RULE]}}
    sample = {**SHOP_ORDER, "total": total}
    async with working.client(brand) as client:
        source = await connect(client, "generic", settings=settings, sample=sample)
        given = {"sample": sample, "net_minor": net_minor}
        report = await post(client, f"/v1/sources/{source['id']}/test", given, status=200)
        lines = {line["step"]: line for line in report["lines"]}
        assert (report["ok"], lines["amount"]["ok"]) == (ok is True, ok), report
        for step in ("order", "recorded", "test_mode", "code", "click_named", "credit"):
            assert lines[step]["ok"] is True, lines[step]
        for shops_own in ("77", "A-77"):
            assert (await client.get("/v1/conversions", params={"order_id": shops_own})).json()["data"] == []


async def test_nothing_that_names_the_shopper_of_a_sample_is_kept(working: Running, brand: Brand) -> None:
    rule = {**SHOP_RULE, "customer_email": "/buyer/email"}
    sample = {
        **SHOP_ORDER,
        "total": "4990",
        "buyer": {"email": "canary.bird@example.org", "name": "Canary Bird", "phone": "+33 6 12 34 56 78"},
        "note": "ring at Canary",
    }
    async with working.client(brand) as client:
        source = await connect(
            client, "generic", settings={"mapping": {"amounts": "major", "rules": [rule]}}, sample=sample
        )
        report = await post(client, f"/v1/sources/{source['id']}/test", {"sample": sample}, status=200)
        assert {line["step"]: line["ok"] for line in report["lines"]}["recorded"] is True, report
    kept = await working.pool.fetchval(
        "SELECT body FROM delivery WHERE brand_id = $1 ORDER BY id DESC LIMIT 1", brand.id
    )
    assert report["order_id"].encode() in kept
    tables = await working.pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for [table] in tables:
        for row in await working.pool.fetch(
            f'/* across brands: nothing of it may stand anywhere */ SELECT * FROM "{table}"'
        ):
            shown = " ".join(str(bytes(each) if isinstance(each, memoryview) else each) for each in row.values())
            assert "canary" not in shown.lower(), table
            assert "12 34 56 78" not in shown, table


async def test_a_sample_that_cannot_be_marked_as_a_test_is_not_sent(working: Running, brand: Brand) -> None:
    rule = {name: place for name, place in SHOP_RULE.items() if name != "test"}
    settings = {"mapping": {"amounts": "major", "rules": [rule]}}
    async with working.client(brand) as client:
        sample = {**SHOP_ORDER, "total": "4990"}
        source = await connect(client, "generic", settings=settings, sample=sample)
        report = await post(client, f"/v1/sources/{source['id']}/test", {"sample": sample}, status=200)
        lines = {line["step"]: line for line in report["lines"]}
        assert (report["ok"], lines["order"]["ok"]) == (False, None)
        assert "test order" in lines["order"]["hint"]


async def test_nothing_of_a_trial_is_left_but_its_test_order(working: Running, brand: Brand) -> None:
    async with working.client(brand) as client:
        source = await connect(client)
        first, _ = await tried(client, source)
        second, lines = await tried(client, source)
        assert (first["ok"], second["ok"]) == (True, True), lines
        assert first["order_id"] != second["order_id"]
        for name in LISTS:
            assert (await client.get(f"/v1/{name}")).json()["data"] == [], name
            kept = (await client.get(f"/v1/{name}", params={"include_archived": True})).json()["data"]
            assert len(kept) == (name != "costs"), name
            for row in kept:
                back = await client.post(f"/v1/{name}/{row['id']}/unarchive")
                assert (back.status_code, back.json()["code"]) == (409, "fixed"), name
        orders = (await client.get("/v1/conversions")).json()["data"]
        assert [order["test"] for order in orders] == [True, True]
        day = clock.now().date()
        for zone in ("Europe/Paris", "Asia/Tokyo"):  # the brand's own, by its daily counts; another, by single clicks
            query = {"from": str(day - timedelta(days=1)), "to": str(day + timedelta(days=2)), "tz": zone}
            summary = (await client.get("/v1/reports/summary", params={**query, "group_by": "influencer"})).json()
            assert summary["rows"] == []
            counts = {name: value for name, value in summary["all_orders"].items() if isinstance(value, int)}
            assert set(counts.values()) == {0}, counts
        clicks = await working.pool.fetchval("SELECT count(*) FROM click WHERE brand_id = $1", brand.id)
        assert clicks == 2
        # A trial made before the brand is set up keeps nothing from being set up.
        assert (await client.patch("/v1/brand", json={"currency": "EUR", "time_zone": "UTC"})).status_code == 200
        third, _ = await tried(client, source)
        assert third["ok"]


async def test_a_background_process_that_is_down_is_said_in_words(
    listening: Running, brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    await listening.background.stop()
    monkeypatch.setattr(run, "RECORD_TIMEOUT_S", 0.3)
    monkeypatch.setattr(run, "IDLE", timedelta(0))
    async with listening.client(brand) as client:
        report, lines = await tried(client, await connect(client))
        assert report["ok"] is False
        assert (lines["order"]["ok"], lines["recorded"]["ok"]) == (True, False)
        assert "safe on the disk" in lines["recorded"]["found"]
        assert "`ariane serve`" in lines["recorded"]["hint"]
        assert {lines[step]["ok"] for step in ("test_mode", "amount", "code", "refund", "refunded")} == {None}
        await listening.background.start()
        await eventually_recorded(client, report["order_id"])


async def eventually_recorded(client: httpx2.AsyncClient, order_id: str) -> None:
    """What waited on the disk arrives once the background process works again."""
    for _ in range(100):
        if (await client.get("/v1/conversions", params={"order_id": order_id})).json()["data"]:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the order never came")


async def test_secrets_sealed_with_another_key_are_named(working: Running, brand: Brand) -> None:
    async with working.client(brand) as client:
        source = await connect(client)
        other = [seal("another key that was used before " * 2, SECRET)]
        await working.pool.execute("UPDATE source SET secrets = $2 WHERE token = $1", source["token"], other)
        report, lines = await tried(client, source)
        assert report["ok"] is False
        assert lines["secrets"]["found"] == "0 of 1 can be opened"
        assert "ARIANE_SECRET_KEY" in lines["secrets"]["hint"]
        assert lines["order"]["ok"] is None


async def test_an_archived_source_fails_at_once(listening: Running, brand: Brand) -> None:
    async with listening.client(brand) as client:
        source = await connect(client)
        await client.delete(f"/v1/sources/{source['id']}")
        report, lines = await tried(client, source)
        assert (report["ok"], lines["source"]["ok"], lines["order"]["ok"]) == (False, False, None)
        assert report["order_id"] is None


async def test_a_service_that_is_not_where_it_says_is_named(
    listening: Running, brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "own_address", lambda settings: f"http://127.0.0.1:{free_port()}")
    async with listening.client(brand) as client:
        report, lines = await tried(client, await connect(client))
        assert (report["ok"], lines["click"]["ok"], lines["order"]["ok"]) == (False, False, False)
        assert "HOST and PORT" in lines["order"]["hint"]


async def test_a_proxy_of_the_environment_never_sees_a_trial(
    working: Running, brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setitem(os.environ, name, f"http://127.0.0.1:{free_port()}")
    async with working.client(brand) as client:
        report, _ = await tried(client, await connect(client))
        assert failures(report) == []


async def test_one_source_is_tried_once_at_a_time(working: Running, brand: Brand) -> None:
    async with working.client(brand) as client:
        source = await connect(client)
        path = f"/v1/sources/{source['id']}/test"
        answers = await asyncio.gather(*(client.post(path, json={}) for _ in range(3)))
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
        refused = next(answer for answer in answers if answer.status_code == 409)
        assert refused.json()["code"] == "trial_running"
        assert (await client.post(path, json={})).status_code == 200


async def test_charlie_cannot_try_alices_source(listening: Running, brand: Brand) -> None:
    charlie = await create_brand(listening.pool, "Charlie")
    async with listening.client(brand) as client, listening.client(charlie) as rival:
        source = await connect(client)
        answer = await rival.post(f"/v1/sources/{source['id']}/test", json={})
        assert (answer.status_code, answer.json()["code"]) == (404, "source_not_found")
        assert (await rival.post("/v1/sources/src_nonsense/test", json={})).status_code == 404


async def test_un_prefixed_headers_are_taken_end_to_end(working: Running, brand: Brand) -> None:
    """Shopify's newer events drop the `X-`: same signature, same meaning."""
    async with working.client(brand) as client:
        source = await connect(client)
        body, headers = signed_order("orders/paid", 4711)
        plain = {name.removeprefix("X-"): value for name, value in headers.items()}
        assert not any(name.lower().startswith("x-") for name in plain)
        assert (await client.post(f"/in/{source['token']}", content=body, headers=plain)).status_code == 200
        # Its older name beside it, as a second subscription sends it: the same order.
        assert (await client.post(f"/in/{source['token']}", content=body, headers=headers)).status_code == 200
        await eventually_recorded(client, "4711")
        rows = (await client.get("/v1/deliveries", params={"source_id": source["id"]})).json()["data"]
        assert {(row["status"], row["topic"]) for row in rows} == {("recorded", "orders/paid")}


def signed_order(topic: str, order_id: int) -> tuple[bytes, dict[str, str]]:
    import base64
    import hmac
    import json

    body = json.dumps({"id": order_id, "currency": "JPY", "financial_status": "paid", "total_price": "500"}).encode()
    digest = base64.b64encode(hmac.digest(SECRET.encode(), body, "sha256")).decode()
    named = {"Topic": topic, "Hmac-Sha256": digest, "Event-Id": "e-1", "Triggered-At": "2026-11-22T12:00:00.123456789Z"}
    return body, {f"X-Shopify-{name}": value for name, value in named.items()} | {"Content-Type": "application/json"}
