"""The redirect: what it answers, what it records, and that it never gives an id for a click that is not recorded."""

import asyncio
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app import clock
from app.domain import ids
from app.domain.own_clicks import OWN_CLICKS, own_token
from app.domain.visitors import visitor_of, visitors_of_day
from app.secret import derive
from app.settings import Settings
from app.spool.records import ClickLine, MissLine, encode
from app.spool.writer import SpoolFull
from app.tracking.doors import Doors
from tests.cast import Brand
from tests.tracking.asking import CHROME, ask, running_doors, settings_for, spooled
from tests.tracking.rows import SECRET, fresh_slug, write_host, write_route, write_rule

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
LOCATION = re.compile(r"https://shop\.test/p\?size=m&ariane=(clk_[0-9a-hjkmnp-tv-z]{26})#top")


async def recorded(doors: Doors, own: Settings) -> list[ClickLine]:
    await doors.stop()
    return [line for line in spooled(own, "clicks") if isinstance(line, ClickLine)]


async def test_a_click_is_redirected_with_a_fresh_id_and_recorded_under_it(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings
) -> None:
    slug = fresh_slug()
    link_id = await write_route(pool, alice, slug)
    before_ms = clock.now_ms()
    answer = await ask(
        doors, "GET", f"/{slug}", headers=[("User-Agent", CHROME), ("Referer", "https://www.Instagram.com/p/private")]
    )
    assert answer.status == 302
    assert answer.body == b""
    location = answer.headers.pop("location")
    assert answer.headers == {
        "cache-control": "private, no-store",
        "referrer-policy": "strict-origin-when-cross-origin",
        "x-robots-tag": "noindex",
        "content-length": "0",
    }
    found = LOCATION.fullmatch(location)
    assert found
    [line] = await recorded(doors, own)
    assert ids.read("click", found[1]) == UUID(line.id)
    assert before_ms <= ids.minted_ms(UUID(line.id)) <= clock.now_ms()
    assert (line.brand_id, line.link_id) == (str(alice.id), str(link_id))
    assert (line.address, line.user_agent, line.referrer_host, line.hint) == (
        "203.0.113.0",
        CHROME,
        "instagram.com",
        "",
    )
    key = derive(SECRET, "visitor")
    assert line.visitor == visitor_of(visitors_of_day(key, str(alice.id), before_ms), "203.0.113.7", CHROME)


async def test_every_click_gets_an_id_of_its_own_and_a_visitor_keeps_hers_within_a_day(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings
) -> None:
    slug = fresh_slug()
    await write_route(pool, alice, slug)
    first = await ask(doors, "GET", f"/{slug}", headers=[("User-Agent", CHROME)])
    again = await ask(doors, "GET", f"/{slug}", headers=[("User-Agent", CHROME)])
    other = await ask(doors, "GET", f"/{slug}", headers=[("User-Agent", "Safari")])
    assert len({answer.headers["location"] for answer in (first, again, other)}) == 3
    lines = await recorded(doors, own)
    assert lines[0].visitor == lines[1].visitor != lines[2].visitor


async def known(doors: Doors, table: str, key: str) -> None:
    """Waits until the doors have heard of a row that they do not look up."""
    async with asyncio.timeout(5):
        while key not in doors.directory.cache.rows[table]:  # noqa: ASYNC110  nobody announces it
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("spelling", ["/{}", "/{}/"])
async def test_a_slug_is_matched_in_any_case_and_with_a_slash_behind_it(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, spelling: str
) -> None:
    slug = fresh_slug()
    await write_route(pool, alice, slug)
    assert (await ask(doors, "GET", spelling.format(slug.upper()))).status == 302


async def test_what_the_link_says_stands_and_the_visitors_query_cannot_bring_a_click_id(
    pool: asyncpg.Pool, alice: Brand, doors: Doors
) -> None:
    slug = fresh_slug()
    await write_route(pool, alice, slug, destination="https://shop.test/p?size=m&utm_source=lea", click_param="dub_id")
    answer = await ask(doors, "GET", f"/{slug}?utm_source=tiktok&dub_id=clk_forged&x=%0d%0aSet-Cookie:a")
    assert re.fullmatch(
        r"https://shop\.test/p\?size=m&utm_source=lea&dub_id=clk_\w{26}&x=%0d%0aSet-Cookie:a",
        answer.headers["location"],
    )


async def test_a_visitor_who_asks_not_to_be_followed_is_counted_and_nothing_else(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings
) -> None:
    slug = fresh_slug()
    await write_route(pool, alice, slug)
    gpc = [("User-Agent", CHROME), ("Sec-GPC", "1")]
    assert (await ask(doors, "GET", f"/{slug}", headers=gpc)).headers["location"] == "https://shop.test/p?size=m#top"
    forwarded = await ask(doors, "GET", f"/{slug}?ariane=clk_old&a=1", headers=gpc)
    assert forwarded.headers["location"] == "https://shop.test/p?size=m&a=1#top"
    for line in await recorded(doors, own):
        assert (line.visitor, line.address) == (None, "")


async def test_a_brand_may_give_such_a_visitor_the_id_of_the_click_and_still_knows_nothing_else(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand, doors: Doors, own: Settings
) -> None:
    await write_rule(pool, alice, gpc="click_id_only")
    await known(doors, "door_rule", str(alice.id))
    hers, his = fresh_slug(), fresh_slug()
    await write_route(pool, alice, hers)
    await write_route(pool, charlie, his)
    gpc = [("User-Agent", CHROME), ("Sec-GPC", "1")]
    for _ in range(2):  # the first time from the database, then by the fast path
        found = await ask(doors, "GET", f"/{hers}", headers=gpc)
        assert re.fullmatch(r"https://shop\.test/p\?size=m&ariane=clk_\w{26}#top", found.headers["location"])
        assert (await ask(doors, "GET", f"/{his}", headers=gpc)).headers["location"] == "https://shop.test/p?size=m#top"
    for line in await recorded(doors, own):
        assert (line.visitor, line.address) == (None, "")


@pytest.mark.parametrize(
    ("method", "headers", "hint"),
    [
        ("HEAD", [], "head"),
        ("HEAD", [("Sec-Purpose", "prefetch")], "head"),
        ("GET", [("Sec-Purpose", "prefetch")], "prefetch"),
        ("GET", [("Sec-Purpose", "prefetch;prerender")], "prefetch"),
        ("GET", [("Purpose", "prefetch")], "prefetch"),
        ("GET", [("X-Purpose", "preview")], "prefetch"),
        ("GET", [("X-Moz", "prefetch")], "prefetch"),
        ("GET", [("Sec-Fetch-Dest", "document")], ""),
        ("GET", [("Sec-Fetch-Dest", " Document ")], ""),
        *(
            ("GET", [("Sec-Fetch-Dest", dest)], "embedded")
            for dest in ("image", "iframe", "frame", "script", "empty", "object", "")
        ),
        ("GET", [("Sec-Fetch-Dest", "empty"), ("Sec-Purpose", "prefetch")], "prefetch"),
        ("HEAD", [("Sec-Fetch-Dest", "empty")], "head"),
        ("GET", [("Purpose", "reading")], ""),
    ],
)
async def test_who_only_looks_gets_the_same_redirect_and_is_recorded_as_such(
    pool: asyncpg.Pool,
    alice: Brand,
    doors: Doors,
    own: Settings,
    method: str,
    headers: list[tuple[str, str]],
    hint: str,
) -> None:
    slug = fresh_slug()
    await write_route(pool, alice, slug)
    answer = await ask(doors, method, f"/{slug}", headers=headers)
    assert answer.status == 302
    assert LOCATION.fullmatch(answer.headers["location"])
    [line] = await recorded(doors, own)
    assert line.hint == hint


async def test_an_address_is_taken_from_our_own_proxies_only(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path
) -> None:
    own = settings_for(dsn, tmp_path, trusted_proxies="10.0.0.0/8")
    slug = fresh_slug()
    await write_route(pool, alice, slug)
    async with running_doors(own) as doors:
        forged = [("X-Forwarded-For", "1.1.1.1, 198.51.100.9")]
        await ask(doors, "GET", f"/{slug}", headers=forged, client="10.0.0.1")
        await ask(doors, "GET", f"/{slug}", headers=forged, client="203.0.113.7")
    lines = [line for line in spooled(own, "clicks") if isinstance(line, ClickLine)]
    assert [line.address for line in lines] == ["198.51.100.0", "203.0.113.0"]


@pytest.mark.parametrize(
    ("addresses", "network", "visitors"),
    [
        ([f"2a01:cb00:1234:{each:x}::1" for each in range(100)], "2a01:cb00:1234::", 100),
        ([f"203.0.113.{each}" for each in range(100)], "203.0.113.0", 100),
        # One phone, whose address changes within its /64.
        ([f"2a01:cb00:1234:7::{each:x}" for each in range(100)], "2a01:cb00:1234::", 1),
    ],
)
async def test_phones_of_one_network_are_people_and_one_phone_is_one(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path, addresses: list[str], network: str, visitors: int
) -> None:
    own = settings_for(dsn, tmp_path, trusted_proxies="10.0.0.0/8")
    slug = fresh_slug()
    await write_route(pool, alice, slug)
    async with running_doors(own) as doors:
        for address in addresses:
            headers = [("X-Forwarded-For", address), ("User-Agent", IPHONE)]
            await ask(doors, "GET", f"/{slug}", headers=headers, client="10.0.0.1")
    lines = [line for line in spooled(own, "clicks") if isinstance(line, ClickLine)]
    assert len({line.visitor for line in lines}) == visitors
    assert {line.address for line in lines} == {network}
    # The address itself is nowhere.
    assert not any(each in line.decode() for line in map(encode, lines) for each in addresses if each != network)


async def test_a_slug_that_nobody_has_is_a_404_page_and_counted(doors: Doors, own: Settings) -> None:
    slug = fresh_slug()
    answer = await ask(doors, "GET", f"/{slug.upper()}?x=1")
    assert answer.status == 404
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert b"does not exist" in answer.body
    for scanner in ("/wp-login.php", "/%00%0a", "/ab", "/" + "x" * 300):
        assert (await ask(doors, "GET", scanner)).status == 404
    await doors.stop()
    lines = [line for line in spooled(own, "clicks") if isinstance(line, MissLine)]
    assert {line.reason for line in lines} == {"unknown_slug"}
    assert [line.slug for line in lines] == [slug, "wp-login.php", "%00%0a", "ab", "x" * 128]
    assert {(line.brand_id, line.host) for line in lines} == {(None, "*")}


async def test_characters_that_no_database_holds_do_not_reach_the_spool(doors: Doors, own: Settings) -> None:
    await ask(doors, "GET", "/a\x00b")
    await doors.stop()
    [line] = spooled(own, "clicks")
    assert isinstance(line, MissLine)
    assert line.slug == "(unprintable)"


async def test_an_expired_or_disabled_link_is_a_410_page_and_counted_for_its_brand(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings
) -> None:
    expired, disabled, later = fresh_slug(), fresh_slug(), fresh_slug()
    await write_route(pool, alice, expired, expires_at=clock.now() - timedelta(seconds=1))
    await write_route(pool, alice, disabled, disabled=True)
    await write_route(pool, alice, later, expires_at=clock.now() + timedelta(hours=1))
    for slug in (expired, disabled):
        answer = await ask(doors, "GET", f"/{slug}")
        assert answer.status == 410
        assert b"no longer active" in answer.body
    assert (await ask(doors, "GET", f"/{later}")).status == 302
    await doors.stop()
    misses = [line for line in spooled(own, "clicks") if isinstance(line, MissLine)]
    assert [(line.brand_id, line.host, line.slug, line.reason) for line in misses] == [
        (str(alice.id), "*", expired, "expired"),
        (str(alice.id), "*", disabled, "disabled"),
    ]


async def test_a_brands_own_host_leads_to_its_own_links_and_its_misses_are_its_own(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand, doors: Doors, own: Settings
) -> None:
    slug, other, hers, his = fresh_slug(), fresh_slug(), f"{fresh_slug()}.example", f"{fresh_slug()}.example"
    await write_host(pool, alice, hers)
    await write_host(pool, charlie, his)
    await write_route(pool, alice, slug, host=hers)
    for spelling in (hers, hers.upper(), f"{hers}:8443", f"{hers}."):
        answer = await ask(doors, "GET", f"/{slug}", headers=[("Host", spelling)])
        assert answer.status == 302, spelling
    assert (await ask(doors, "GET", f"/{slug}", headers=[("Host", his)])).status == 404
    assert (await ask(doors, "GET", f"/{other}", headers=[("Host", hers)])).status == 404
    assert (await ask(doors, "GET", f"/{slug}")).status == 404
    await doors.stop()
    misses = [line for line in spooled(own, "clicks") if isinstance(line, MissLine)]
    assert [(line.brand_id, line.host, line.slug) for line in misses] == [
        (str(charlie.id), his, slug),
        (str(alice.id), hers, other),
        (None, "*", slug),
    ]


async def test_without_the_database_known_links_go_on_and_unknown_ones_are_asked_to_come_back(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path
) -> None:
    slug = fresh_slug()
    await write_route(pool, alice, slug)
    async with running_doors(settings_for(dsn, tmp_path)) as doors:
        await doors.directory.save_snapshot(now=True)
    away = settings_for(f"postgresql://ariane@/ariane?host={tmp_path}", tmp_path)
    async with running_doors(away, ready=False) as doors:
        assert LOCATION.fullmatch((await ask(doors, "GET", f"/{slug}")).headers["location"])
        unknown = await ask(doors, "GET", f"/{fresh_slug()}")
        assert (unknown.status, unknown.headers["retry-after"]) == (503, "1")
    clicks = [line for line in spooled(away, "clicks") if isinstance(line, ClickLine)]
    assert len(clicks) == 1


async def test_when_the_spool_is_full_the_visitor_arrives_without_an_id_and_the_worker_is_not_ready(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path
) -> None:
    own = settings_for(dsn, tmp_path, spool_cap_bytes=1 << 20)
    slug = fresh_slug()
    await write_route(pool, alice, slug)
    async with running_doors(own) as doors:
        given = 0
        while True:
            answer = await ask(doors, "GET", f"/{slug}", headers=[("User-Agent", "x" * 500)])
            assert answer.status == 302
            if not LOCATION.fullmatch(answer.headers["location"]):
                break
            given += 1
        assert answer.headers["location"] == "https://shop.test/p?size=m#top"
        assert (await ask(doors, "GET", "/readyz")).status == 503
        metrics = (await ask(doors, "GET", "/metrics")).body.decode()
        assert f'ariane_redirects_total{{recorded="yes"}} {float(given)}' in metrics
        assert 'ariane_redirects_total{recorded="no"} 1.0' in metrics
        # Orders still fit.
        assert (await ask(doors, "POST", "/e", body=b"{}")).status == 204
    assert len([line for line in spooled(own, "clicks") if isinstance(line, ClickLine)]) == given


async def test_with_sync_always_no_id_is_given_when_the_disk_refuses(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = settings_for(dsn, tmp_path, spool_sync="always")
    slug = fresh_slug()
    await write_route(pool, alice, slug)
    async with running_doors(own) as doors:
        assert LOCATION.fullmatch((await ask(doors, "GET", f"/{slug}")).headers["location"])

        async def refuse() -> None:
            raise SpoolFull("the disk is ill")

        with monkeypatch.context() as patched:
            patched.setattr(doors.clicks, "synced", refuse)
            answer = await ask(doors, "GET", f"/{slug}")
        assert answer.headers["location"] == "https://shop.test/p?size=m#top"


async def test_only_get_and_head_follow_a_link(pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings) -> None:
    slug = fresh_slug()
    await write_route(pool, alice, slug)
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        answer = await ask(doors, method, f"/{slug}")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert await recorded(doors, own) == []


async def test_a_brand_says_what_is_forwarded_and_a_link_says_otherwise(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand, doors: Doors
) -> None:
    hers, his, own = fresh_slug(), fresh_slug(), fresh_slug()
    for brand, slug in ((alice, hers), (charlie, his), (alice, own)):
        # Not announced: read before the next statement, the route would be known without its own rule.
        await write_route(pool, brand, slug, destination="https://shop.test/p?utm_source=lea", announce=False)
    await pool.execute("UPDATE route SET forward_query = 'nothing' WHERE brand_id = $1 AND slug = $2", alice.id, own)

    async def led(slug: str) -> str:
        answer = await ask(doors, "GET", f"/{slug}?utm_source=ig&fbclid=1")
        return re.sub(r"ariane=clk_\w+", "ariane=", answer.headers["location"]).partition("?")[2]

    assert await led(hers) == await led(his) == "utm_source=lea&ariane=&fbclid=1"
    assert await led(own) == "utm_source=lea&ariane="
    await write_rule(pool, alice, forward_query="incoming_wins")
    await known(doors, "door_rule", str(alice.id))
    assert await led(hers) == "ariane=&utm_source=ig&fbclid=1"
    assert await led(his) == "utm_source=lea&ariane=&fbclid=1"
    assert await led(own) == "utm_source=lea&ariane="


@pytest.mark.parametrize("pasted", ["/{}.", "/{})", "/{}…", "/{}\u200b", "//{}", "/“{}”", "/{}&utm_source=ig", "/{}/."])
async def test_a_slug_is_found_as_people_paste_it_by_one_more_look_up(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, monkeypatch: pytest.MonkeyPatch, pasted: str
) -> None:
    slug = fresh_slug()
    await write_route(pool, alice, slug)
    asked = []
    find_route = doors.directory.find_route

    async def counted(host: str, slug: str) -> Any:
        asked.append(slug)
        return await find_route(host, slug)

    monkeypatch.setattr(doors.directory, "find_route", counted)
    assert (await ask(doors, "GET", pasted.format(slug))).status == 302
    assert asked == [slug]


async def test_a_hit_is_never_mended_and_what_is_missed_is_recorded_as_it_was_asked(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, own: Settings
) -> None:
    slug = fresh_slug()
    await write_route(pool, alice, slug, expires_at=clock.now() - timedelta(seconds=1))
    assert (await ask(doors, "GET", f"/{slug}.")).status == 410
    assert (await ask(doors, "GET", f"/{slug}x.")).status == 404
    assert (await ask(doors, "GET", "/wp/admin.php")).status == 404
    await doors.stop()
    misses = [line for line in spooled(own, "clicks") if isinstance(line, MissLine)]
    assert [(line.brand_id, line.slug, line.reason) for line in misses] == [
        (str(alice.id), f"{slug}.", "expired"),
        (None, f"{slug}x.", "unknown_slug"),
    ]


async def test_a_host_sends_its_lost_visitors_where_the_brand_says(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand, doors: Doors
) -> None:
    hers, his, gone = f"{fresh_slug()}.example", f"{fresh_slug()}.example", fresh_slug()
    pages = {name: f"https://brand.test/{name}" for name in ("root_url", "unknown_url", "expired_url")}
    await write_host(pool, alice, hers, pages=pages)
    await write_host(pool, charlie, his, pages={"language": "fr"})
    for brand, host in ((alice, hers), (charlie, his)):
        await write_route(pool, brand, gone, host=host, disabled=True)
        await known(doors, "host", host)
    for path, name, status in (
        ("/", "root_url", 404),
        (f"/{fresh_slug()}", "unknown_url", 404),
        (f"/{gone}", "expired_url", 410),
    ):
        answer = await ask(doors, "GET", path, headers=[("Host", hers.upper() + ".")])
        assert (answer.status, answer.headers["location"]) == (302, pages[name])
        answer = await ask(doors, "GET", path, headers=[("Host", his), ("Accept-Language", "en")])
        assert (answer.status, answer.headers["content-language"]) == (status, "fr")
    answer = await ask(doors, "GET", "/a/b", headers=[("Host", hers)])
    assert answer.headers["location"] == pages["unknown_url"]


async def test_our_pages_are_in_the_language_that_the_visitor_reads(doors: Doors) -> None:
    for accepted, language in (
        ("fr-CA,fr;q=0.9,en;q=0.5", "fr"),
        ("de,en;q=0.1,fr;q=0", "en"),
        ("de", "en"),
        ("", "en"),
    ):
        answer = await ask(doors, "GET", f"/{fresh_slug()}", headers=[("Accept-Language", accepted)])
        assert (answer.status, answer.headers["content-language"]) == (404, language)
        assert (b"Ce lien" in answer.body) is (language == "fr")
        assert f'<html lang="{language}">'.encode() in answer.body


async def test_clicks_of_the_brands_own_people_are_recorded_as_such(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand, doors: Doors, own: Settings
) -> None:
    hers, his = fresh_slug(), fresh_slug()
    await write_rule(pool, alice, own_networks=["198.51.100.0/24", "2001:db8:7::/48"])
    await known(doors, "door_rule", str(alice.id))
    await write_route(pool, alice, hers)
    await write_route(pool, charlie, his)
    for client in ("198.51.100.9", "::ffff:198.51.100.9", "2001:db8:7::1", "203.0.113.7", ""):
        await ask(doors, "GET", f"/{hers}", client=client)
    await ask(doors, "GET", f"/{hers}", headers=[("Sec-GPC", "1")], client="198.51.100.9")
    await ask(doors, "GET", f"/{his}", client="198.51.100.9")
    lines = await recorded(doors, own)
    assert [line.hint for line in lines] == ["own", "own", "own", "", "", "own", ""]


async def test_a_signed_page_leaves_a_browser_out_until_it_is_told_otherwise(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand, doors: Doors, own: Settings
) -> None:
    hers, his = fresh_slug(), fresh_slug()
    await write_route(pool, alice, hers)
    await write_route(pool, charlie, his)
    token = own_token(derive(SECRET, OWN_CLICKS), alice.id)
    page = await ask(doors, "GET", f"/us/{token}")
    assert page.status == 200
    cookie, _, attributes = page.headers["set-cookie"].partition("; ")
    assert attributes == "Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax"
    for slug, sent in (
        (hers, cookie),
        (hers, f"a=b; {cookie}"),
        (his, cookie),
        (hers, cookie[:-1] + "!"),
        (hers, "a=b"),
    ):
        await ask(doors, "GET", f"/{slug}", headers=[("Cookie", sent)])
    again = await ask(doors, "GET", f"/us/{token}?count=yes")
    assert "Max-Age=0" in again.headers["set-cookie"]
    forged = own_token(derive("t" * 43, OWN_CLICKS), alice.id)
    for wrong in ("", "x", forged, token[:-1], token + "x", "brd_é.é"):
        answer = await ask(doors, "GET", f"/us/{wrong}")
        assert (answer.status, "set-cookie" in answer.headers) == (404, False)
    lines = await recorded(doors, own)
    assert [line.hint for line in lines] == ["own", "own", "", "", ""]
