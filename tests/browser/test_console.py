"""What /a.js says in the console: what it cannot use, once each, and nothing where all is right."""

import json

import pytest

from tests.browser.conftest import Story, credited
from tests.browser.shop import Shop

pytestmark = pytest.mark.browser

ORDER = {"order_id": "1001", "amount": "49.90", "currency": "EUR", "tax": 8.32, "code": ["LEA10"], "customer": None}
GA4 = {"transaction_id": "T-1", "value": 49.9, "currency": "EUR", "coupon": "LEA10"}


async def said(story: Story, shop: Shop, page: str) -> list[str]:
    """What the console shows of a page, once the script has run and had its second."""
    heard: list[str] = []
    shop.pages["/page"] = f"<title>Page</title>{page}"
    opened = await story.context.new_page()
    opened.on("console", lambda message: heard.append(message.text))
    await opened.goto(f"{shop.url}/page")
    await opened.wait_for_function("ariane.loaded")
    await opened.wait_for_timeout(50)
    await opened.close()
    return [text for text in heard if text.startswith("Ariane: ")]


def call(*arguments: object) -> str:
    return f"<script>ariane({', '.join(map(json.dumps, arguments))})</script>"


async def test_where_all_is_right_nothing_is_said(story: Story) -> None:
    shop = story.shop()
    calls = (
        call("track", "sale", ORDER),
        call("track", "lead"),
        call("track", "sale", {"checkout_token": "c-1"}),
        call("consent", "default", {"ad_storage": "denied"}),
        "<script>ariane('click_id', function () {})</script>",
    )
    assert await said(story, shop, shop.script() + "".join(calls)) == []


async def test_each_thing_that_cannot_be_used_is_said_once_with_what_is_right(story: Story) -> None:
    shop = story.shop()
    right = "ariane('track', 'sale', {order_id: '1001', amount: '49.90', currency: 'EUR'})"
    left = ("{{ order.id }}", "x-[[id]]", "%%ORDER_ID%%", "undefined", "[object Object]", "${id}", "{order_id}")
    wrong = [
        (call("event", "purchase", GA4), [f"ariane('event', …) is no call. A sale is told by {right}"]),
        (
            call("track", "purchase", GA4),
            [
                f"'purchase' is 'sale' here: {right}",
                f"'transaction_id' is 'order_id' here: {right}",
                f"'value' is 'amount' here: {right}",
                f"'coupon' is 'code' here: {right}",
            ],
        ),
        (call("track", "generate_lead"), [f"'generate_lead' is 'lead' here: {right.replace('sale', 'lead')}"]),
        (
            call("track", "sale", {"amount": "1"}),
            [f"a sale has no order_id, so it cannot be told from another: {right}"],
        ),
        *(
            (call("track", "sale", {"order_id": each}), [f"order_id is '{each}': a placeholder that nobody filled in."])
            for each in left
        ),
        (
            "<script>ariane('track', 'lead', {amount: NaN})</script>",
            ["amount is 'NaN': a placeholder that nobody filled in."],
        ),
    ]
    page = "".join(made for made, _ in wrong)
    expected = [f"Ariane: {text}" for _, texts in wrong for text in texts]
    assert await said(story, shop, shop.script() + page + page) == expected


async def test_a_key_that_is_none_is_named_and_a_secret_one_first_of_all(story: Story) -> None:
    shop = story.shop()
    for key, expected in (
        ("pk_your_key", "'pk_your_key' is no key: put the publishable key of the shop (pk_…) here."),
        ("{{ key }}", "'{{ key }}' is no key: put the publishable key of the shop (pk_…) here."),
        (
            story.brand.secret_key,
            "the key is a secret key, which anybody can now read: revoke it, and put the publishable key (pk_…) here.",
        ),
    ):
        assert await said(story, shop, shop.script(key=key)) == [f"Ariane: {expected}"]


async def test_a_script_without_a_key_says_so_when_an_order_waits_for_one(story: Story) -> None:
    shop = story.shop()
    shop.pages["/"] = shop.script(key="") + call("track", "sale", ORDER)
    async with story.page.expect_console_message(lambda message: message.type == "warning") as heard:
        await story.page.goto(f"{shop.url}/")
    assert (await heard.value).text.startswith("Ariane: nothing is sent yet: the script has no data-key")


async def test_what_is_said_of_a_call_changes_nothing_about_it(story: Story) -> None:
    shop = story.shop()
    await story.code("LEA10")
    shop.pages["/"] = shop.script() + call("track", "sale", ORDER | {"value": 1, "coupon": "x"})
    await story.page.goto(f"{shop.url}/")
    assert (await story.order("1001", settled=credited))["attribution"]["method"] == "code"
