"""A shopper follows an influencer's link to a shop and buys; the order is credited to that influencer. Everything is real but the goods.

Each story ends by checking that the service was never sent a preflight (the `story` fixture).
"""

import json

import pytest

from app.domain import ids
from tests.browser.conftest import Story, credited
from tests.browser.shop import Shop, at_once, in_a_frame, queued_twice, while_leaving
from tests.cast import create_brand
from tests.platforms.test_pixel_signature import sign

pytestmark = pytest.mark.browser


async def test_an_order_is_credited_to_the_link_that_brought_the_shopper(story: Story) -> None:
    shop = story.shop()
    link = await story.link(shop)
    await story.page.goto(link["short_url"])
    assert story.page.url.startswith(f"{shop.url}/?ariane=clk_")
    (land,) = await story.beacons("land")
    order_id = await story.buy(shop)

    order = await story.order(order_id, settled=credited)
    assert (order["order_id"], order["net_minor"], order["currency"]) == (order_id, 4990, "EUR")
    assert order["attribution"]["method"] == "click"
    (credit,) = order["attribution"]["credits"]
    assert credit["collaboration_id"] == ids.show("collaboration", story.lea.id)
    assert credit["net_minor"] == 4990
    (sale,) = story.sent("sale")
    assert story.page.url != sale.fields["click_id"] == land.fields["click_id"]

    rival = await create_brand(story.running.pool, "Charlie")
    listed = await story.running.direct.get("/v1/conversions", params={"order_id": order_id}, headers=rival.auth)
    assert listed.json()["data"] == []
    assert (await story.running.direct.get(f"/v1/conversions/{order['id']}", headers=rival.auth)).status_code == 404


async def test_an_order_that_the_shops_server_signed_is_trusted_and_credited_to_the_click_that_the_script_adds(
    story: Story,
) -> None:
    secret = await story.signing_secret()
    shop = story.shop(thanks=lambda shop, order: at_once(shop, sign(order, secret=secret)))
    link = await story.link(shop)
    await story.page.goto(link["short_url"])
    await story.beacons("land")
    order_id = await story.buy(shop)
    order = await story.order(order_id, settled=credited)
    assert (order["net_minor"], order["attribution"]["method"]) == (4990, "click")
    shown = await story.running.direct.get(f"/v1/conversions/{order['id']}", headers=story.brand.auth)
    assert {each["trust"] for each in shown.json()["witnesses"]} == {"signed_pixel", "unsigned"}


async def test_a_sale_reported_while_the_page_goes_away_is_credited(story: Story) -> None:
    shop = story.shop(thanks=while_leaving)
    link = await story.link(shop)
    await story.page.goto(link["short_url"])
    order_id = await story.buy(shop)
    assert story.sent("sale") == []
    await story.page.click("#home")

    order = await story.order(order_id, settled=credited)
    assert order["attribution"]["method"] == "click"


async def test_a_sale_is_credited_from_a_sandboxed_frame_without_cookies_or_referrer(story: Story) -> None:
    shop = story.shop(thanks=in_a_frame)
    link = await story.link(shop)
    await story.page.goto(link["short_url"])
    order_id = await story.buy(shop)
    (sale,) = await story.beacons("sale")

    frame = next(frame for frame in story.page.frames if "/frame" in frame.url)
    assert (
        await frame.evaluate("() => { try { return localStorage.length } catch (error) { return error.name } }")
        == "SecurityError"
    )
    assert sale.headers["origin"] == "null"
    assert not {"cookie", "referer"} & sale.headers.keys()
    order = await story.order(order_id, settled=credited)
    assert order["attribution"]["method"] == "click"


async def test_calls_made_before_the_script_loads_are_kept_and_carried_out(story: Story) -> None:
    shop = story.shop(thanks=queued_twice)
    link = await story.link(shop)
    await story.page.goto(link["short_url"])
    order_id = await story.thanked(shop)

    assert await story.page.evaluate("queued") == 2
    order = await story.order(order_id, settled=credited)
    assert order["attribution"]["method"] == "click"


async def test_after_a_no_nothing_is_stored_and_after_a_yes_the_order_is_credited(story: Story) -> None:
    shop = story.shop(consent="denied")
    link = await story.link(shop)
    await story.page.goto(link["short_url"])
    await story.page.wait_for_function("ariane.loaded")
    assert await story.stored() == (None, [])
    assert await story.page.evaluate("ariane('click_id')") is None

    await story.page.evaluate("ariane('consent', 'granted')")
    await story.beacons("land")
    order_id = await story.thanked(shop)
    # The shop's pages say `denied` until its banner speaks, which here is after the sale was reported.
    (sale,) = await story.beacons("sale")
    assert not {"click_id", "visitor_id"} & sale.fields.keys()
    order = await story.order(order_id)
    assert order["attribution"]["verdict"] == "unattributed"

    await story.page.evaluate("ariane('consent', 'granted')")
    order = await story.order(order_id, settled=credited)
    assert order["attribution"]["method"] == "click"
    assert order["net_minor"] == 4990


async def test_a_code_is_credited_without_consent_and_nothing_personal_is_sent(story: Story) -> None:
    def thanks(shop: Shop, order: dict[str, str]) -> str:
        told = order | {"customer": "cust-1", "email": "zoe@example.com", "click_id": "clk_mine"}
        return f"{shop.script()}<script>ariane('track', 'sale', {json.dumps(told)})</script>"

    shop = story.shop(consent="denied", thanks=thanks)
    await story.code("LEA10")
    link = await story.link(shop)
    await story.page.goto(link["short_url"])
    order_id = await story.thanked(shop, code="lea10 ")

    (sale,) = await story.beacons("sale")
    told = shop.orders[order_id]
    assert sale.fields == {"k": story.brand.publishable_key, "event": "sale"} | told
    order = await story.order(order_id, settled=credited)
    assert order["attribution"]["method"] == "code"
    assert story.sent("land") == []
    assert await story.stored() == (None, [])


@pytest.mark.parametrize("unheard", ["visibilitychange", "pagehide"])
async def test_while_the_answer_is_awaited_nothing_is_stored_and_a_code_still_counts(
    story: Story, unheard: str
) -> None:
    # Browsers differ in which of the two they tell a page that goes away; each has to be enough.
    await story.context.add_init_script(
        f"addEventListener('{unheard}', function (event) {{ event.stopImmediatePropagation() }}, true)"
    )
    shop = story.shop(consent="wait")
    await story.code("LEA10")
    link = await story.link(shop)
    await story.page.goto(link["short_url"])
    order_id = await story.thanked(shop, code="LEA10")
    await story.page.wait_for_function("ariane.loaded")
    assert (story.sent("land"), story.sent("sale")) == ([], [])
    assert await story.stored() == (None, [])
    await story.page.click("#home")

    order = await story.order(order_id, settled=credited)
    assert order["attribution"]["method"] == "code"
    assert not {"click_id", "visitor_id"} & story.sent("sale")[0].fields.keys()


async def test_one_yes_is_remembered_on_the_pages_that_ask_again(story: Story) -> None:
    shop = story.shop(consent="wait")
    link = await story.link(shop)
    await story.page.goto(link["short_url"])
    await story.page.evaluate("ariane('consent', 'update', {ad_storage: 'granted', analytics_storage: 'denied'})")
    await story.beacons("land")
    order_id = await story.thanked(shop)

    order = await story.order(order_id, settled=credited)
    assert order["attribution"]["method"] == "click"


async def test_an_order_that_names_only_the_visitor_is_credited_to_the_click_the_visitor_landed_with(
    story: Story,
) -> None:
    shop = story.shop()
    link = await story.link(shop)
    await story.page.goto(link["short_url"])
    (land,) = await story.beacons("land")
    body = {"order_id": "server-1", "net_minor": 1000, "currency": "EUR", "visitor_id": land.fields["visitor_id"]}
    answer = await story.running.direct.post("/v1/conversions", json=body, headers=story.brand.auth)
    assert answer.status_code == 201, answer.text

    order = await story.order("server-1", settled=credited)
    assert order["attribution"]["method"] == "visitor"
