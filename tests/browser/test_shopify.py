"""What Shopify's guide tells a shop to paste, run as it is given out, in a sandboxed frame like the one of Shopify's custom pixels.

Shopify itself is not here: `analytics` and `browser` have the shape that its documentation gives them. The frame has an origin of its own, no
cookies and no storage; `browser.localStorage` asks the page around it, as Shopify's does.
"""

import base64
import hmac
import json
from typing import Any

import pytest

from app.platforms.kit.guide import Connection
from app.platforms.registry import PLATFORMS
from tests.browser.conftest import Story, credited
from tests.browser.shop import Shop

pytestmark = pytest.mark.browser

SECRET = "shpss_0123456789abcdef"
TOKEN = "bd5a8aa1ecd019dd3520ff791ee3a24c"
ORDER = 450789469

FRAME = """<script>
const waiting = new Map();
addEventListener('message', (message) => { waiting.get(message.data.id)(message.data); });
const ask = (what, ...told) => new Promise((done, fail) => {
  waiting.set(waiting.size, (answer) => (answer.refused ? fail(new Error(answer.refused)) : done(answer.value)));
  parent.postMessage({id: waiting.size - 1, what, told}, '*');
});
const browser = {localStorage: {getItem: (name) => ask('getItem', name), setItem: (name, value) => ask('setItem', name, value)}};
const subscribed = [];
const analytics = {subscribe: (name, then) => subscribed.push([name, then])};
</script>
<script>%s</script>
<script>
ask('events').then((events) => events.forEach((event) => subscribed.forEach(([name, then]) => name === event.name && then(event))));
</script>"""

PAGE = """<script>
const told = [{name: 'page_viewed', context: {document: {location: {href: location.href}}}}, ...%s];
addEventListener('message', ({data, source}) => {
  let answer;
  try { answer = {value: data.what === 'events' ? told : localStorage[data.what](...data.told)}; } catch (refused) { answer = {refused: String(refused)}; }
  source.postMessage({id: data.id, ...answer}, '*');
});
</script>
<iframe sandbox="allow-scripts allow-forms" src="/pixel"></iframe>"""


def checkout(**said: Any) -> dict[str, Any]:
    """The event of a completed checkout: 59.90 EUR with tax and shipping in it."""
    whole = {
        "token": TOKEN,
        "currencyCode": "EUR",
        "order": None,
        "attributes": [],
        "discountApplications": [],
        "totalPrice": {"amount": 59.9, "currencyCode": "EUR"},
        "totalTax": {"amount": 9.98, "currencyCode": "EUR"},
        "shippingLine": {"price": {"amount": 5, "currencyCode": "EUR"}},
        **said,
    }
    return {"name": "checkout_completed", "data": {"checkout": whole}}


def pasted(story: Story, shop: Shop, name: str) -> str:
    """A snippet of the guide as this brand's shop has it."""
    found = PLATFORMS["shopify"].guide(Connection("src_1", "", story.wire.url, publishable_key=shop.key))
    assert found is not None
    return str(next(snippet["code"] for snippet in found["snippets"] if snippet["name"] == name))


def open_shopify(story: Story, *events: dict[str, Any], theme: str = "") -> Shop:
    """A shop whose pages hold the custom pixel in its frame; its thank-you page tells of `events`."""
    shop = story.shop()
    shop.pages["/pixel"] = FRAME % pasted(story, shop, "custom pixel")
    shop.pages["/"] = theme + PAGE % "[]"
    shop.pages["/thanks"] = theme + PAGE % json.dumps(events)
    return shop


async def deliver(story: Story, **said: Any) -> None:
    """Shopify's order webhook of the same checkout."""
    source = await story._post("/v1/sources", {"platform": "shopify", "secrets": [SECRET]})  # type: ignore[dict-item]
    order = {
        "id": ORDER,
        "name": "#1001",
        "checkout_token": TOKEN,
        "currency": "EUR",
        "financial_status": "paid",
        "line_items": [{"id": 1, "price": "44.92", "quantity": 1}],
        **said,
    }
    body = json.dumps(order).encode()
    signature = base64.b64encode(hmac.digest(SECRET.encode(), body, "sha256")).decode()
    headers = {"X-Shopify-Topic": "orders/paid", "X-Shopify-Hmac-Sha256": signature}
    answer = await story.running.direct.post(f"/in/{source['token']}", content=body, headers=headers)
    assert answer.status_code == 200, answer.text


async def only_order(story: Story) -> dict[str, Any]:
    """The one conversion that the brand has."""
    listed = (await story.running.direct.get("/v1/conversions", headers=story.brand.auth)).json()["data"]
    assert len(listed) == 1, listed
    return dict(listed[0])


async def confirmed(story: Story) -> dict[str, Any]:
    """The order once Shopify's own word about it has been recorded."""
    await story.order(str(ORDER), settled=lambda order: order["net_minor"] == 4_492 and credited(order))
    return await only_order(story)


async def test_the_pixel_knows_the_click_from_the_landing_page_and_meets_the_webhook_by_the_checkouts_token(
    story: Story,
) -> None:
    """No script in the theme, no order id on the thank-you page, no click in the webhook: the pixel's storage and the token join them."""
    shop = open_shopify(story, checkout())
    link = await story.link(shop)
    await story.page.goto(link["short_url"])
    await story.page.wait_for_function("localStorage.getItem('ariane_click')")
    await story.page.goto(f"{shop.url}/thanks")
    (sale,) = await story.beacons("sale")
    assert (sale.headers["origin"], "referer" in sale.headers, "cookie" in sale.headers) == ("null", False, False)
    assert sale.headers["content-type"].startswith("text/plain")
    assert "order_id" not in sale.fields
    assert sale.fields["checkout_token"] == TOKEN

    await deliver(story)
    order = await confirmed(story)
    assert (order["order_id"], order["attribution"]["method"]) == (str(ORDER), "click")
    assert "unsigned" not in {candidate["reason"] for candidate in order["attribution"]["candidates"]}


@pytest.mark.parametrize("order_id", [f"gid://shopify/OrderIdentity/{ORDER}", f"{ORDER}"])
async def test_the_pixel_meets_the_webhook_by_the_orders_id_however_it_is_written(story: Story, order_id: str) -> None:
    await story.code("LEA10")
    codes = [{"type": "DISCOUNT_CODE", "title": "lea10"}, {"type": "AUTOMATIC", "title": "Spring"}]
    shop = open_shopify(story, checkout(order={"id": order_id}, discountApplications=codes))
    await deliver(story)
    await story.page.goto(f"{shop.url}/thanks")
    (sale,) = await story.beacons("sale")
    assert sale.fields["code"] == "lea10"
    order = await story.order(str(ORDER), settled=credited)
    assert order["attribution"]["method"] == "code"
    assert (await only_order(story))["net_minor"] == 4_492


@pytest.mark.parametrize("order", [{"id": "0"}, {"id": "gid://shopify/OrderIdentity/0"}, {"id": None}, {}])
async def test_an_order_id_of_nought_names_no_order(story: Story, order: dict[str, Any]) -> None:
    """With upsells the event comes before there is an order: two shoppers must not become one order called 0."""
    shop = open_shopify(story, checkout(order=order))
    await story.page.goto(f"{shop.url}/thanks")
    (sale,) = await story.beacons("sale")
    assert "order_id" not in sale.fields
    assert (await story.order(TOKEN))["net_minor"] == 5_990 - 998 - 500


async def test_the_theme_puts_the_click_into_the_cart_and_the_webhook_brings_it_back(story: Story) -> None:
    shop = story.shop()
    theme = pasted(story, shop, "theme").replace('data-consent="wait"', 'data-consent="granted"')
    shop = open_shopify(story, checkout(), theme=theme)
    link = await story.link(shop)
    async with story.page.expect_request("**/cart/update.js") as asked:
        await story.page.goto(link["short_url"])
    (land,) = await story.beacons("land")
    request = await asked.value
    sent = json.loads(request.post_data or "")
    assert sent == {"attributes": {"ariane": land.fields["click_id"]}}

    attributes = [{"name": name, "value": value} for name, value in sent["attributes"].items()]
    await deliver(story, note_attributes=attributes)
    assert (await confirmed(story))["attribution"]["method"] == "click"


async def test_without_storage_the_pixel_still_reports_the_order_and_its_code(story: Story) -> None:
    await story.code("LEA10")
    shop = open_shopify(story, checkout(discountApplications=[{"type": "DISCOUNT_CODE", "title": "LEA10"}]))
    shop.pages["/thanks"] = shop.pages["/thanks"].replace("localStorage[data.what]", "forbidden[data.what]")
    await story.page.goto(f"{shop.url}/thanks?ariane=clk_01k0000000000000000000000a")
    (sale,) = await story.beacons("sale")
    assert (sale.fields["code"], sale.fields.get("click_id")) == ("LEA10", None)
    order = await story.order(TOKEN, settled=credited)
    assert order["attribution"]["method"] == "code"
