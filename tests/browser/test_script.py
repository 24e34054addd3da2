"""What /a.js does with browsers that lack something, and with people who say no; and what the redirect tells browsers."""

import json
import re

import pytest

from app.tracking.pixel import COMPRESSED, SCRIPT
from tests.browser.conftest import Story, credited
from tests.browser.shop import STUB

pytestmark = pytest.mark.browser

NO_STORAGE = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError') }})"


async def test_two_visits_are_two_clicks_of_one_visitor(story: Story) -> None:
    shop = story.shop()
    link = await story.link(shop)
    answers = [await story.page.goto(link["short_url"]) for _ in range(2)]
    for answer in answers:
        assert answer is not None
        assert answer.request.redirected_from is not None
        redirect = await answer.request.redirected_from.response()
        assert redirect is not None
        assert redirect.status == 302
        assert "no-store" in (await redirect.all_headers())["cache-control"]
    assert len({answer.url for answer in answers if answer}) == 2

    row = await story.clicks(link, lambda row: row["clicks"] >= 2 and row["unique_clicks"] >= 1)
    assert (row["clicks"], row["unique_clicks"]) == (2, 1)


async def test_a_prefetched_link_is_no_click_until_somebody_follows_it(story: Story) -> None:
    shop = story.shop()
    link = await story.link(shop)
    shop.pages["/post"] = (
        f'<link rel="prefetch" href="{link["short_url"]}"><a id="go" href="{link["short_url"]}">Lea likes it</a>'
    )
    await story.page.goto(f"{shop.url}/post")
    hits = await story.arrived(f"/{link['slug']}", 1)
    assert hits[0].headers["sec-purpose"].startswith("prefetch")
    await story.page.click("#go")
    await story.beacons("land")
    hits = await story.arrived(f"/{link['slug']}", 2)
    assert "sec-purpose" not in hits[1].headers

    # Both were recorded in this order, so the one that is counted is not the first of two still to come.
    row = await story.clicks(link, lambda row: row["unique_clicks"] >= 1)
    assert row["clicks"] == 1


async def test_where_storage_is_forbidden_a_cookie_of_at_most_a_year_takes_its_place(story: Story) -> None:
    await story.context.add_init_script(NO_STORAGE)
    shop = story.shop()
    link = await story.link(shop)
    await story.page.goto(link["short_url"])
    (land,) = await story.beacons("land")
    (cookie,) = await story.context.cookies()
    assert (cookie["name"], cookie["sameSite"], cookie["domain"]) == ("ariane", "Lax", "localhost")
    days = (cookie["expires"] - await story.page.evaluate("Date.now() / 1000")) / 86_400
    assert 364 < days <= 365

    await story.thanked(shop)
    (sale,) = await story.beacons("sale")
    assert (sale.fields["click_id"], sale.fields["visitor_id"]) == (land.fields["click_id"], land.fields["visitor_id"])


NO_BEACON = "delete Navigator.prototype.sendBeacon;"
TRANSPORTS = {
    "beacon": ("", "POST"),
    "no beacon": (NO_BEACON, "POST"),
    "beacon full": ("Navigator.prototype.sendBeacon = function () { return false };", "POST"),
    "no fetch": (f"{NO_BEACON} delete window.fetch;", "GET"),
    "fetch refused": (f"{NO_BEACON} window.fetch = function () {{ return Promise.reject(new TypeError()) }};", "GET"),
}


async def test_a_sale_takes_the_best_transport_there_is(story: Story) -> None:
    shop = story.shop()
    link = await story.link(shop)
    await story.page.goto(link["short_url"])
    (land,) = await story.beacons("land")
    ways = {"POST": ("POST", "/e"), "GET": ("GET", "/p.gif")}
    for count, (name, (lack, method)) in enumerate(TRANSPORTS.items(), start=1):
        order = {"order_id": name, "amount": "49.90", "currency": "EUR"}
        track = f"ariane('track', 'sale', {json.dumps(order)})"
        shop.pages["/thanks"] = f"<script>{lack}</script>{shop.script()}<script>{track}</script>"
        await story.page.goto(f"{shop.url}/thanks")
        sale = (await story.beacons("sale", count))[-1]
        assert (sale.method, sale.path) == ways[method], name
        assert method == "GET" or sale.headers["content-type"] == "text/plain;charset=UTF-8", name
        told = {"k": shop.key, "event": "sale", "visitor_id": land.fields["visitor_id"]}
        assert sale.fields == order | told | {"click_id": land.fields["click_id"]}, name

    for name in TRANSPORTS:
        credit = await story.order(name, settled=credited)
        assert (credit["attribution"]["method"], credit["net_minor"]) == ("click", 4990), name


async def test_a_worker_reports_a_sale_though_it_has_neither_page_nor_beacon(story: Story) -> None:
    shop = story.shop()
    link = await story.link(shop)
    await story.page.goto(link["short_url"])
    (land,) = await story.beacons("land")
    order = {"order_id": "worker-1", "amount": "12", "currency": "EUR", "click_id": land.fields["click_id"]}
    init = {"key": shop.key, "host": shop.tracker, "consent": "granted"}
    code = (
        f"importScripts('{shop.tracker}/a.js'); ariane('init', {json.dumps(init)}); ariane('track', 'sale', {json.dumps(order)});"
        "postMessage([typeof document, typeof navigator.sendBeacon])"
    )
    lacks = await story.page.evaluate(
        "code => new Promise(done => { new Worker(URL.createObjectURL(new Blob([code]))).onmessage = e => done(e.data) })",
        code,
    )
    assert lacks == ["undefined", "undefined"]
    told = await story.order("worker-1", settled=credited)
    assert (told["attribution"]["method"], told["net_minor"]) == ("click", 1200)


async def test_global_privacy_control_counts_as_a_no_that_no_banner_overrules(story: Story) -> None:
    await story.context.set_extra_http_headers({"Sec-GPC": "1"})
    await story.context.add_init_script(
        "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {value: true})"
    )
    shop = story.shop(consent="granted")
    link = await story.link(shop)
    landed = await story.page.goto(link["short_url"])
    assert landed is not None
    assert "ariane=" not in landed.url
    # As if somebody had passed on the address of their own landing.
    await story.page.goto(f"{shop.url}/?ariane=clk_06f3k2m8p4q9r1s5t7v0w2x4y6")
    await story.page.wait_for_function("ariane.loaded")
    await story.page.evaluate("ariane('consent', 'granted')")
    await story.thanked(shop)

    (sale,) = await story.beacons("sale")
    assert not {"click_id", "visitor_id"} & sale.fields.keys()
    assert story.sent("land") == []
    assert await story.stored() == (None, [])
    row = await story.clicks(link, lambda row: row["clicks"] >= 1)
    assert row["clicks"] == 1


async def test_a_withdrawn_yes_erases_what_was_stored(story: Story) -> None:
    shop = story.shop()
    link = await story.link(shop)
    await story.page.goto(link["short_url"])
    await story.beacons("land")
    assert (await story.stored())[0] is not None
    await story.page.evaluate("ariane('consent', 'denied')")
    assert await story.stored() == (None, [])
    assert await story.page.evaluate("ariane('click_id')") is None


async def test_the_shop_is_handed_the_click_id_for_its_cart(story: Story) -> None:
    shop = story.shop(consent="wait")
    link = await story.link(shop)
    shop.pages["/"] = (
        f"{STUB}<script>ariane('click_id', function (id) {{ window.handed = id }})</script>{shop.script()}"
    )
    await story.page.goto(link["short_url"])
    await story.page.wait_for_function("ariane.loaded")
    assert await story.page.evaluate("[window.handed, ariane('click_id')]") == [None, None]
    await story.page.evaluate("ariane('consent', 'granted')")
    (land,) = await story.beacons("land")
    handed = land.fields["click_id"]
    assert await story.page.evaluate("[window.handed, ariane('click_id')]") == [handed, handed]
    assert story.page.url.endswith(f"ariane={handed}")


async def test_a_shop_that_reads_another_parameter_keeps_it(story: Story) -> None:
    shop = story.shop()
    shop.pages["/old"] = shop.script(param="dub_id")
    await story.page.goto(f"{shop.url}/old?ariane=clk_not_this_one&dub_id=clk_this_one&x=1")
    (land,) = await story.beacons("land")
    assert land.fields["click_id"] == "clk_this_one"


async def test_the_wire_would_show_a_preflight(story: Story) -> None:
    """Without this, "no preflight" in every other test could mean that nobody looked."""
    shop = story.shop()
    await story.page.goto(f"{shop.url}/")
    before = len(story.wire.sent)
    json_body = "{method: 'POST', headers: {'content-type': 'application/json'}, body: '{}'}"
    await story.page.evaluate(f"fetch('{shop.tracker}/e', {json_body}).catch(() => 0)")
    assert "OPTIONS" in [sent.method for sent in story.wire.sent[before:]]
    del story.wire.sent[before:]


def test_the_script_is_small_and_written_for_old_web_views() -> None:
    text = re.sub(r"/\*.*?\*/|//[^\n']*$", "", SCRIPT.decode(), flags=re.DOTALL | re.MULTILINE)
    newer = re.findall(
        r"=>|`|\b(?:const|let|class|async|await)\b|\?\.|\?\?|\.\.\.|\.(?:includes|assign|entries)\(", text
    )
    assert newer == []
    assert len(COMPRESSED) < 3_072
