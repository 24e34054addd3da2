"""The pixel and the beacon: every hit is kept as it was said, and answered only once it is on the disk."""

import asyncio
from pathlib import Path

import pytest

from app.settings import Settings
from app.spool.records import PixelLine
from app.spool.writer import SpoolFull
from app.tracking.doors import Doors
from app.tracking.pixel import GIF, key_in_body, key_in_query
from tests.cast import Brand
from tests.tracking.asking import Answer, ask, running_doors, settings_for, spooled


async def kept(doors: Doors, own: Settings) -> list[PixelLine]:
    await doors.stop()
    return [line for line in spooled(own, "orders") if isinstance(line, PixelLine)]


def assert_gif(answer: Answer) -> None:
    assert answer.status == 200
    assert answer.body == GIF
    assert answer.headers == {
        "content-type": "image/gif",
        "cache-control": "no-store, private, max-age=0",
        "content-length": "43",
        "cross-origin-resource-policy": "cross-origin",
        "timing-allow-origin": "*",
        "x-content-type-options": "nosniff",
    }


def test_the_pixel_is_the_43_bytes_that_browsers_were_seen_to_load() -> None:
    from base64 import b64decode

    assert b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==") == GIF
    assert len(GIF) == 43


async def test_a_pixel_is_kept_with_the_brand_of_its_key(doors: Doors, own: Settings, alice: Brand) -> None:
    query = f"k={alice.publishable_key}&event=sale&order_id=1001&amount=49.90&currency=EUR"
    assert_gif(await ask(doors, "GET", f"/p.gif?{query}"))
    [line] = await kept(doors, own)
    assert (line.brand_id, line.key_id, line.shop, line.door) == (
        str(alice.id),
        str(alice.publishable_id),
        "main",
        "pixel",
    )
    assert line.body == query.encode()


@pytest.mark.parametrize("query", ["", "k=pk_nobody&event=sale", "k=", "k=%00%ff", "%%%&&=&k", "k=sk"])
async def test_a_pixel_without_a_good_key_is_answered_and_kept_all_the_same(
    doors: Doors, own: Settings, query: str
) -> None:
    assert_gif(await ask(doors, "GET", f"/p.gif?{query}"))
    [line] = await kept(doors, own)
    assert (line.brand_id, line.key_id, line.body) == (None, None, query.encode())


async def test_the_truncated_address_comes_along_unless_the_visitor_asks_not_to_be_followed(
    dsn: str, tmp_path: Path
) -> None:
    own = settings_for(dsn, tmp_path, trusted_proxies="10.0.0.0/8")
    async with running_doors(own) as doors:
        forwarded = [("X-Forwarded-For", "1.1.1.1, 198.51.100.9")]
        await ask(doors, "GET", "/p.gif?event=lead&code=A", headers=forwarded, client="10.0.0.1")
        await ask(doors, "POST", "/e", headers=forwarded, client="203.0.113.7", body=b"event=lead&code=A")
        await ask(doors, "GET", "/p.gif?event=lead&code=A", headers=[("Sec-GPC", "1")])
        assert [line.network for line in await kept(doors, own)] == ["198.51.100.0", "203.0.113.0", ""]


async def test_a_secret_key_in_a_page_opens_nothing(doors: Doors, own: Settings, alice: Brand) -> None:
    assert_gif(await ask(doors, "GET", f"/p.gif?k={alice.secret_key}"))
    [line] = await kept(doors, own)
    assert line.brand_id is None


async def test_looking_at_the_pixel_is_no_report(doors: Doors, own: Settings) -> None:
    assert_gif_without_body = await ask(doors, "HEAD", "/p.gif?event=sale")
    assert assert_gif_without_body.status == 200
    assert (await ask(doors, "POST", "/p.gif")).status == 405
    assert await kept(doors, own) == []


async def test_a_pixel_too_long_to_be_whole_is_kept_as_a_note_of_that(
    doors: Doors, own: Settings, alice: Brand
) -> None:
    query = f"k={alice.publishable_key}&order_id=1&note=" + "x" * (64 << 10)
    assert_gif(await ask(doors, "GET", f"/p.gif?{query}"))
    [line] = await kept(doors, own)
    assert (line.brand_id, line.body) == (str(alice.id), b"too_large=%d" % len(query))


async def test_a_pixel_that_cannot_be_stored_still_answers_its_gif_and_is_counted(
    doors: Doors, own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(line: bytes) -> None:
        raise SpoolFull("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(doors.orders, "append", refuse)
        assert_gif(await ask(doors, "GET", "/p.gif?event=sale"))
        refused = await ask(doors, "POST", "/e", body=b"{}")
    assert refused.status == 503
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["access-control-allow-origin"] == "*"
    assert b'"code":"spool_full"' in refused.body
    metrics = (await ask(doors, "GET", "/metrics")).body
    assert b'ariane_pixels_total{outcome="not_stored"} 2.0' in metrics


@pytest.mark.parametrize(
    ("content_type", "body", "query"),
    [
        ("text/plain;charset=UTF-8", '{"k": "KEY", "event": "sale", "order_id": "1"}', ""),
        ("", '  {"event": "sale", "k": "KEY"}', ""),
        ("application/x-www-form-urlencoded;charset=UTF-8", "event=sale&k=KEY", ""),
        ("text/plain", "", "k=KEY&event=sale"),
        ("text/plain", '{"event": "sale"}', "k=KEY"),
        ("application/json", '{"k": "KEY"}', ""),
    ],
)
async def test_a_beacon_is_kept_as_it_was_sent_whatever_it_calls_itself(
    doors: Doors, own: Settings, alice: Brand, content_type: str, body: str, query: str
) -> None:
    body, query = body.replace("KEY", alice.publishable_key), query.replace("KEY", alice.publishable_key)
    headers = [("Content-Type", content_type)] if content_type else []
    answer = await ask(doors, "POST", f"/e?{query}", headers=headers, body=body.encode())
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers == {
        "access-control-allow-origin": "*",
        "cross-origin-resource-policy": "cross-origin",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    }
    [line] = await kept(doors, own)
    assert (line.brand_id, line.door, line.content_type) == (str(alice.id), "beacon", content_type)
    assert line.body == (body or query).encode()


@pytest.mark.parametrize("body", [b"{", b'{"k": 5}', b'{"k": "\xff"}', b'{"k": "\\ud800"}', b"\x00\xff", b"[" * 5000])
async def test_a_beacon_that_makes_no_sense_is_kept_for_whoever_can_read_it(
    doors: Doors, own: Settings, body: bytes
) -> None:
    assert (await ask(doors, "POST", "/e", body=body)).status == 204
    [line] = await kept(doors, own)
    assert (line.brand_id, line.body) == (None, body)


async def test_a_beacon_over_the_cap_is_refused_before_it_is_read(doors: Doors, own: Settings) -> None:
    announced = await ask(doors, "POST", "/e", headers=[("Content-Length", str(1 << 20))])
    grown = await ask(doors, "POST", "/e", body=[b"x" * 40_000, b"x" * 40_000])
    in_query = await ask(doors, "POST", "/e?" + "x" * 70_000)
    for answer in (announced, grown, in_query):
        assert answer.status == 413
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert b"65536 bytes" in answer.body
    assert (await ask(doors, "POST", "/e", body=b"x" * 65_536)).status == 204
    assert len(await kept(doors, own)) == 1


async def test_a_sender_who_hangs_up_leaves_nothing_half_done(doors: Doors, own: Settings) -> None:
    with pytest.raises(ValueError, match="not enough values"):
        await ask(doors, "POST", "/e", body=[])
    assert await kept(doors, own) == []


async def test_a_foreign_script_may_ask_first_and_is_told_that_it_may_post(doors: Doors) -> None:
    answer = await ask(doors, "OPTIONS", "/e", headers=[("Origin", "null"), ("Access-Control-Request-Method", "POST")])
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-headers"] == "content-type"
    assert answer.headers["access-control-max-age"] == "86400"
    assert (await ask(doors, "GET", "/e?event=sale")).status == 405


async def test_an_answer_waits_for_the_disk(doors: Doors, own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    append, synced = doors.orders.append, doors.orders.synced
    sender = asyncio.current_task()

    def appending(line: bytes) -> None:
        order.append("append")
        append(line)

    async def syncing() -> None:
        await synced()
        if asyncio.current_task() is sender:  # the spool flushes by itself as well, whenever it comes to it
            order.append("on disk")

    with monkeypatch.context() as patched:
        patched.setattr(doors.orders, "append", appending)
        patched.setattr(doors.orders, "synced", syncing)
        await ask(doors, "GET", "/p.gif?event=sale")
        order.append("answered")
        await ask(doors, "POST", "/e", body=b"{}")
        order.append("answered")
    assert order == ["append", "on disk", "answered"] * 2


async def test_while_the_database_is_away_a_key_not_in_memory_is_left_to_be_looked_up_later(
    alice: Brand, tmp_path: Path
) -> None:
    away = settings_for(f"postgresql://ariane@/ariane?host={tmp_path}", tmp_path)
    async with running_doors(away, ready=False) as doors:
        assert_gif(await ask(doors, "GET", f"/p.gif?k={alice.publishable_key}"))
        assert (await ask(doors, "POST", "/e", body=f"k={alice.publishable_key}".encode())).status == 204
    lines = spooled(away, "orders")
    assert [line.brand_id for line in lines] == [None, None]
    assert all(isinstance(line, PixelLine) and alice.publishable_key.encode() in line.body for line in lines)


def test_a_key_is_read_without_reading_the_rest() -> None:
    assert key_in_query(b"event=sale&k=pk_a%2Db&k=pk_other") == "pk_a-b"
    assert key_in_query(b"kk=1&ok=2") == ""
    assert key_in_body(b'{"event": {"k": "no"}, "k": "pk_1"}') == "pk_1"
    assert key_in_body(b"event=sale&k=pk_1") == "pk_1"
    assert len(key_in_query(b"k=" + b"x" * 5000)) == 128
