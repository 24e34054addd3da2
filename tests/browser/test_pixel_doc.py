"""docs/pixel.md is what shops paste, so what it shows is run here as it stands there, with only address, key and order filled in."""

import re
from pathlib import Path

import pytest

from tests.browser.conftest import Story, credited
from tests.browser.shop import STUB, Shop

pytestmark = pytest.mark.browser

DOC = (Path(__file__).parents[2] / "docs" / "pixel.md").read_text()
BLOCKS = dict(re.findall(r"<!-- tested: (.+?) -->\n```\w+\n(.*?)```", DOC, re.DOTALL))


def pasted(name: str, shop: Shop, **order: str) -> str:
    """A block of the page as a shop of this brand has it, its template's placeholders filled in."""
    text = BLOCKS[name].replace("https://go.brand.com", shop.tracker).replace("pk_your_key", shop.key)
    return re.sub(r"\{\{ order\.(\w+) \}\}", lambda found: order.get(found[1], ""), text)


def printed(order: dict[str, str]) -> dict[str, str]:
    """An order as the page's placeholders name its parts, with the fifth of it that was tax."""
    return {
        "id": order["order_id"],
        "total": order["amount"],
        "currency": order["currency"],
        "tax": "8.32",
        "shipping": "0.00",
        "discount_code": order.get("code", ""),
    }


async def test_the_three_steps_of_the_page_credit_an_order(story: Story) -> None:
    def thanks(shop: Shop, order: dict[str, str]) -> str:
        return pasted("every page", shop) + pasted("thank-you page", shop, **printed(order))

    shop = story.shop(thanks=thanks)
    head = pasted("every page", shop)
    assert STUB in head
    field = (
        '<form method="post" action="/buy"><input name="ariane"><input name="code"><button id="buy">Buy</button></form>'
    )
    shop.pages["/"] = f"{head}{pasted('click id', shop)}<a id='cart' href='/cart'>Cart</a>"
    shop.pages["/cart"] = f"{head}{field}{pasted('click id', shop)}"
    link = await story.link(shop)
    await story.page.goto(link["short_url"])
    await story.page.wait_for_function("ariane.loaded")
    await story.page.evaluate(re.sub(r"</?script>", "", pasted("consent", shop)))
    (land,) = await story.beacons("land")
    await story.page.click("#cart")
    await story.page.wait_for_function("document.querySelector('[name=ariane]').value")
    assert await story.page.input_value("[name=ariane]") == land.fields["click_id"]
    await story.page.click("#buy")

    await story.beacons("sale")
    (order_id,) = shop.orders
    order = await story.order(order_id, settled=credited)
    assert (order["attribution"]["method"], order["net_minor"]) == ("click", 4990 - 832)


async def test_the_image_of_the_page_credits_an_order_where_scripts_are_off(story: Story) -> None:
    shop = story.shop(thanks=lambda shop, order: pasted("thank-you page", shop, **printed(order)))
    await story.code("LEA10")
    order_id = shop.buy("LEA10")
    browser = story.context.browser
    assert browser is not None
    plain = await browser.new_context(java_script_enabled=False)
    await (await plain.new_page()).goto(f"{shop.url}/thanks?order={order_id}")
    await plain.close()

    order = await story.order(order_id, settled=credited)
    assert (order["attribution"]["method"], order["net_minor"]) == ("code", 4990 - 832)
