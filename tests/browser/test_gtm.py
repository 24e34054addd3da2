"""docs/gtm.md, run as Google Tag Manager runs Custom HTML tags. Its own container comes from Google and cannot be loaded here."""

import json
import re
from pathlib import Path
from textwrap import dedent

import pytest

from tests.browser.conftest import Story, credited
from tests.browser.shop import Shop

pytestmark = pytest.mark.browser

DOC = (Path(__file__).parents[2] / "docs" / "gtm.md").read_text()
BLOCKS = {
    name: dedent(code) for name, code in re.findall(r"<!-- tested: (.+?) -->\n *```\w+\n(.*?)```", DOC, re.DOTALL)
}
VARIABLES = dict(re.findall(r"^\| `([\w ]+)` \| `(ecommerce\.\w+)` \| `\w+` \|$", DOC, re.MULTILINE))

# What GTM does with the tags, in few words: `{{x}}` becomes a call that reads the variable, elements are made anew with the attributes that it
# knows, and each push to the data layer updates a model, then runs the tags that its event triggers.
TAG_MANAGER = """
(function (tags) {
  var model = {};
  window.google_tag_manager = {variable: function (name) {
    return name.split('.').reduce(function (found, part) { return found == null ? undefined : found[part]; }, model);
  }};
  function insert(html) {
    var holder = document.createElement('div');
    holder.innerHTML = html;
    holder.querySelectorAll('script').forEach(function (old) {
      var script = document.createElement('script');
      if (old.src) { script.src = old.src; script.async = true; }
      script.text = old.text;
      document.body.appendChild(script);
    });
  }
  function handle(message) {
    Object.assign(model, message);
    if (tags[message.event]) insert(tags[message.event]);
  }
  var layer = window.dataLayer = window.dataLayer || [], push = layer.push;
  layer.push = function (message) { push.call(layer, message); handle(message); };
  handle({event: 'gtm.init'});
  layer.slice().forEach(handle);
})
"""


def container(shop: Shop) -> str:
    """A page's part that loads the tags of the page, as a container with these triggers."""

    def tag(name: str) -> str:
        text = BLOCKS[name].replace("https://go.brand.com", shop.tracker).replace("pk_your_key", shop.key)
        return re.sub(r"\{\{([\w ]+)\}\}", lambda found: f"google_tag_manager.variable('{VARIABLES[found[1]]}')", text)

    tags = {"gtm.init": tag("gtm every page"), "purchase": tag("gtm purchase"), "banner_yes": tag("gtm consent")}
    quoted = json.dumps(tags).replace("</", r"<\/")
    return f"<body><script>{TAG_MANAGER}({quoted});</script>"


async def test_an_order_of_the_data_layer_is_credited_through_the_tags_of_the_page(story: Story) -> None:
    shop = story.shop()
    heard: list[str] = []
    story.page.on("console", lambda message: heard.append(message.text))
    shop.pages["/"] = f"<title>Teapot</title>{container(shop)}"
    # The shop's own push may come before the container or after it.
    for order_id, page in (
        ("1001", BLOCKS["gtm data layer"] + container(shop)),
        ("1002", container(shop) + BLOCKS["gtm data layer"].replace("1001", "1002").replace(", coupon: 'LEA10'", "")),
    ):
        shop.pages[f"/thanks-{order_id}"] = f"<title>Thank you</title>{page}"
    await story.code("LEA10")
    link = await story.link(shop)
    await story.page.goto(link["short_url"])
    await story.page.wait_for_function("ariane.loaded")
    assert await story.stored() == (None, [])
    await story.page.evaluate("dataLayer.push({event: 'banner_yes'})")
    (land,) = await story.beacons("land")
    for order_id, method in (("1001", "code"), ("1002", "click")):
        await story.page.goto(f"{shop.url}/thanks-{order_id}")
        order = await story.order(order_id, settled=credited)
        assert (order["attribution"]["method"], order["net_minor"]) == (method, 4990 - 832), order_id
    assert {sale.fields.get("click_id") for sale in story.sent("sale")} == {land.fields["click_id"]}
    assert [text for text in heard if text.startswith("Ariane")] == []
