"""What the guides of other shop systems tell to paste into pages, run as it is given out."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from app.platforms.kit.guide import Connection
from app.platforms.registry import PLATFORMS
from tests.browser.conftest import Story
from tests.browser.shop import Shop

pytestmark = pytest.mark.browser


def pasted(story: Story, shop: Shop, platform: str, name: str, **settings: object) -> str:
    """A snippet of a guide as this brand's shop has it, its visitors having said yes."""
    found = PLATFORMS[platform].guide(
        Connection("src_1", "", story.wire.url, publishable_key=shop.key, settings=settings)
    )
    assert found is not None
    code = next(snippet["code"] for snippet in found["snippets"] if snippet["name"] == name)
    return re.sub('data-consent="wait"', 'data-consent="granted"', code)


async def test_payment_links_of_stripe_take_the_click_along_and_other_links_do_not(story: Story) -> None:
    shop = story.shop()
    shop.pages["/"] = (
        pasted(story, shop, "stripe", "every page")
        + '<a id="pay" href="https://buy.stripe.com/abc?locale=fr">Pay</a><a id="else" href="https://example.com/?x=1">On</a>'
        + "<stripe-buy-button></stripe-buy-button>"
        + pasted(story, shop, "stripe", "links")
    )
    link = await story.link(shop)
    await story.page.goto(link["short_url"])
    (land,) = await story.beacons("land")
    await story.page.wait_for_function("document.querySelector('#pay').href.includes('client_reference_id')")
    address = urlsplit(await story.page.evaluate("document.querySelector('#pay').href"))
    assert parse_qs(address.query) == {"locale": ["fr"], "client_reference_id": [land.fields["click_id"]]}
    button = "document.querySelector('stripe-buy-button').getAttribute('client-reference-id')"
    assert await story.page.evaluate(button) == land.fields["click_id"]
    assert await story.page.evaluate("document.querySelector('#else').href") == "https://example.com/?x=1"


async def test_a_prestashop_theme_keeps_the_click_in_the_cookie_that_its_module_reads(story: Story) -> None:
    shop = story.shop()
    shop.pages["/"] = pasted(story, shop, "generic", "theme", preset="prestashop")
    link = await story.link(shop)
    await story.page.goto(link["short_url"])
    (land,) = await story.beacons("land")
    await story.page.wait_for_function("document.cookie.includes('ariane_click')")
    cookies = {cookie["name"]: cookie["value"] for cookie in await story.context.cookies()}
    assert cookies["ariane_click"] == land.fields["click_id"]
