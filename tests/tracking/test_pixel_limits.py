"""Whoever has a shop's key may not fill the spool of everybody: landings go first, then what is over the brand's share, and the brand is told."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.visitors import truncate_address
from app.platforms import pixel
from app.settings import Settings
from app.spool.records import PixelLine
from app.spool.writer import Spool
from app.tracking import pixel_limits
from app.tracking.doors import Doors
from app.tracking.pixel_limits import Rate, is_landing
from tests.cast import Brand
from tests.platforms.test_pixel import CONTEXT
from tests.tracking.asking import Answer, ask, running_doors, settings_for, spooled


@pytest.fixture
async def own(dsn: str, tmp_path: Path) -> Settings:
    return settings_for(dsn, tmp_path, pixel_key_per_minute=5, pixel_network_per_minute=8)


@pytest.fixture
async def doors(own: Settings) -> AsyncIterator[Doors]:
    async with running_doors(own) as doors:
        yield doors


async def land(doors: Doors, key: str, number: int, client: str = "203.0.113.7") -> Answer:
    body = json.dumps({"k": key, "event": "land", "click_id": "clk_1", "visitor_id": f"v{number}"})
    return await ask(doors, "POST", "/e", body=body.encode(), client=client)


async def order(doors: Doors, key: str, number: int, client: str = "203.0.113.7") -> Answer:
    return await ask(doors, "GET", f"/p.gif?k={key}&order_id={number}&amount=1", client=client)


def hits(own: Settings) -> list[PixelLine]:
    return [line for line in spooled(own, "orders") if isinstance(line, PixelLine)]


async def metric(doors: Doors, outcome: str) -> float:
    text = (await ask(doors, "GET", "/metrics")).body.decode()
    return float(
        next(line.split()[1] for line in text.splitlines() if f'outcome="{outcome}"' in line and "pixels" in line)
    )


async def test_over_the_limit_landings_are_left_out_orders_are_not_and_the_brand_is_told(
    own: Settings, alice: Brand, charlie: Brand
) -> None:
    async with running_doors(own) as doors:
        for number in range(5):
            assert (await land(doors, alice.publishable_key, number)).status == 204
        refused = await land(doors, alice.publishable_key, 5)
        assert (refused.status, json.loads(refused.body)["code"]) == (429, "over_limit")
        assert refused.headers["access-control-allow-origin"] == "*"
        for number in range(20):
            assert (await order(doors, alice.publishable_key, number, f"203.0.{number}.7")).status == 200
        assert (await land(doors, charlie.publishable_key, 1, "198.51.100.1")).status == 204  # a rival's key is his own
        assert await metric(doors, "over_limit") == 1
    kept = hits(own)
    (told,) = [line for line in kept if line.body.startswith(b"over_limit")]
    assert (told.brand_id, told.key_id) == (str(alice.id), str(alice.publishable_id))
    assert len(kept) == 5 + 20 + 1 + 1
    parsed = pixel.parse(told.body, told.content_type, CONTEXT)
    assert parsed.rejected == "over_limit"
    assert parsed.detail == "1 landings, 0 others of this key, within a minute, were not recorded"


async def test_a_network_is_limited_whatever_keys_it_uses_and_not_while_a_proxy_hides_who_is_who(
    own: Settings, doors: Doors, alice: Brand, charlie: Brand
) -> None:
    statuses = [
        (await land(doors, brand.publishable_key, n, f"203.0.113.{n}")).status
        for n in range(5)
        for brand in (alice, charlie)
    ]
    assert statuses == [204] * 8 + [429] * 2
    assert (await land(doors, "pk_nobody", 1, "198.51.100.1")).status == 204
    for number in range(3):
        assert (await land(doors, "pk_nobody", number, "127.0.0.1")).status == 204
    for client in ("127.0.0.9", "::1"):
        assert truncate_address(client) in pixel_limits.LOOPBACK
    doors._limits._untrusted.peer = "203.0.113.1"
    assert (await land(doors, "pk_nobody", 2)).status == 204


async def test_orders_over_the_limit_have_a_share_of_the_spool_once_it_is_half_full(
    own: Settings, doors: Doors, alice: Brand, charlie: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await order(doors, alice.publishable_key, number)
        await order(doors, charlie.publishable_key, number, "198.51.100.1")
    monkeypatch.setattr(doors._limits, "_share_bytes", 1_000)
    half_full = True
    monkeypatch.setattr(Spool, "is_half_full", property(lambda _: half_full))
    before = await metric(doors, "stored")
    beacon = {"k": alice.publishable_key, "event": "sale", "order_id": "1"}
    statuses = [(await ask(doors, "POST", "/e", body=json.dumps(beacon).encode())).status for _ in range(10)]
    stored = statuses.count(204)
    assert statuses == [204] * stored + [503] * (10 - stored)
    assert 1 < stored < 10
    assert await metric(doors, "stored") == before + stored
    assert (await order(doors, charlie.publishable_key, 6, "198.51.100.1")).status == 200  # he has a share of his own
    assert await metric(doors, "stored") == before + stored + 1
    half_full = False
    assert (await ask(doors, "POST", "/e", body=json.dumps(beacon).encode())).status == 204
    doors._limits.tell()
    await doors.stop()
    assert hits(own)[-1].body == b"over_limit=0+landings,+%d+others" % (10 - stored)


async def test_an_order_within_the_limit_is_recorded_however_full_the_spool_is(
    own: Settings, doors: Doors, alice: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Spool, "is_half_full", property(lambda _: True))
    monkeypatch.setattr(doors._limits, "_share_bytes", 0)
    await order(doors, alice.publishable_key, 1)
    assert await metric(doors, "stored") == 1


async def test_a_spool_says_itself_when_it_is_half_full(tmp_path: Path) -> None:
    spool = Spool(tmp_path, kind="orders", cap_bytes=1 << 20, segment_bytes=1 << 16)
    spool.append(b"x" * (300 << 10))
    spool._measure()
    assert not spool.is_half_full
    spool.append(b"x" * (300 << 10))
    spool._measure()
    assert spool.is_half_full
    await spool.close()


@given(st.integers(1, 50), st.lists(st.floats(0, 20), max_size=200))
def test_in_no_minute_more_than_twice_the_limit_is_taken_and_a_slow_caller_is_never_refused(
    per_minute: int, pauses: list[float]
) -> None:
    rate, now_s, taken = Rate(per_minute), 1_000.0, []
    for pause in pauses:
        now_s += pause
        if rate.takes("a", now_s):
            taken.append(now_s)
    for at in taken:
        assert sum(at <= each <= at + 60 for each in taken) <= 2 * per_minute + 1
    slow = Rate(per_minute)
    assert all(slow.takes("a", 1_000.0 + n * 60 / per_minute * 1.001) for n in range(200))


def test_no_limit_is_no_limit_and_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(Rate(0).takes("a", 0.0) for _ in range(1_000))
    monkeypatch.setattr(pixel_limits, "REMEMBERED_MAX", 3)
    rate = Rate(1)
    for caller in "abcd":
        assert rate.takes(caller, 0.0)
    assert len(rate._until_s) == 3
    assert not rate.takes("d", 0.0)


@pytest.mark.parametrize(
    ("body", "landing"),
    [(b"k=1&event=land", True), (b"event=land&k=1", True), (b'{"event": "land"}', True), (b'{"event":"land","k":"1"}', True),
     (b"event=landing", False), (b"event=sale&x=land", False), (b'{"event":"sale"}', False)],
)  # fmt: skip
def test_a_landing_is_known_by_its_bytes(body: bytes, landing: bool) -> None:
    assert is_landing(body) is landing
