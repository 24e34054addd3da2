"""Two shops of one brand, connected as the pages say, against the real service: of two orders of one number neither is lost.

The messages are those that the vendors' systems send, word for word, signed with each source's own secret.
"""

import base64
import hmac
import itertools
import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.served import Served
from tests.test_docs import example, type_in

CASES = Path(__file__).parent / "samples" / "cases"
WOOCOMMERCE = json.loads((CASES / "39-woo-two-shops-same-id.json").read_text())
SHOPIFY = json.loads((CASES / "64-shopify-two-shops-same-number.json").read_text())
SECRETS = {
    "shopify": ("the signing secret", "the signing secret of the outlet"),
    "woocommerce": ("kS8vQ2mZ5tR1xW9bN4cJ7dF0gH3pLq", "pV3nT8yB1cX6mK0sD9fG4hJ7qL2wZr"),
}
HEADERS = {
    "shopify": ("X-Shopify-Hmac-Sha256", "X-Shopify-Topic", "orders/create", "X-Shopify-Shop-Domain"),
    "woocommerce": ("X-WC-Webhook-Signature", "X-WC-Webhook-Topic", "order.created", "X-WC-Webhook-Source"),
}
SITES = {
    "shopify": ("atelier.myshopify.com", "outlet.myshopify.com"),
    "woocommerce": ("https://atelier.example/", "https://outlet.example/"),
}
NAMES = itertools.count()


@pytest.fixture
def served(whole: Served) -> Served:
    """A brand without any shop, and with a code that its orders carry."""
    brand = whole.of(f"Two shops {next(NAMES)}")
    campaign = brand.call("POST", "/v1/campaigns", {"name": "Launch", "objective": "sales"})
    influencer = brand.call("POST", "/v1/influencers", {"name": "Léa"})
    pair = {"campaign_id": campaign["id"], "influencer_id": influencer["id"]}
    brand.call("POST", "/v1/codes", {**pair, "code": "LEA10", "discount": {"type": "percent", "value_bp": 1_000}})
    return brand


@pytest.fixture
def rival(whole: Served) -> Served:
    return whole.of(f"Rival of two shops {next(NAMES)}")


def answers(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def connect(served: Served, platform: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Both sources, and the publishable key of the second shop, as the page of the platform says."""
    [first] = answers(type_in(example(f"{platform}-source"), served))
    second, key = answers(type_in(example(f"{platform}-second-source"), served))
    return first, second, key


def send(source: dict[str, Any], message: Any, secret: str, site: str) -> int:
    """Posts a message as its platform signs it; the status of the answer."""
    signature, topic_header, topic, site_header = HEADERS[source["platform"]]
    body = json.dumps(message).encode()
    digest = base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()
    headers = {"Content-Type": "application/json", signature: digest, topic_header: topic, site_header: site}
    request = urllib.request.Request(source["url"], body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def orders(served: Served, count: int) -> list[dict[str, Any]]:
    def found() -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = served.call("GET", "/v1/conversions")["data"]
        return listed if len(listed) >= count else []

    return sorted(served.until(found), key=lambda each: (each["shop"], each["net_minor"]))


def test_two_shopify_shops_with_one_number_are_two_orders(served: Served, rival: Served) -> None:
    first, second, key = connect(served, "shopify")
    assert (first["shop"], second["shop"], key["shop"]) == ("main", "outlet", "outlet")
    [of_rival] = answers(type_in(example("shopify-source"), rival))
    assert of_rival["shop"] == "main"
    for source, message, secret, site in zip(
        (first, second), SHOPIFY, SECRETS["shopify"], SITES["shopify"], strict=False
    ):
        assert send(source, message, secret, site) == 200
    found = orders(served, 2)
    assert [(each["shop"], each["order_id"], each["net_minor"]) for each in found] == [
        ("main", "731001", 8_000),
        ("outlet", "732001", 30_000),
    ]
    assert {each["attribution"]["method"] for each in found} == {"code"}
    totals = served.call("GET", "/v1/reports/summary?from=2026-11-01T00:00:00Z&to=2026-12-31T00:00:00Z")["totals"]
    assert totals["gross_minor"] == 38_000
    sites = [served.call("GET", f"/v1/sources/{each['id']}")["site"] for each in (first, second)]
    assert sites == ["atelier.myshopify.com", "outlet.myshopify.com"]
    assert rival.call("GET", "/v1/conversions")["data"] == []
    assert rival.call("GET", f"/v1/sources/{of_rival['id']}")["site"] is None


def test_two_woocommerce_shops_with_one_id_are_two_orders(served: Served, rival: Served) -> None:
    first, second, key = connect(served, "woocommerce")
    assert (first["shop"], second["shop"], key["shop"]) == ("main", "outlet", "outlet")
    for source, secret, site in zip((first, second), SECRETS["woocommerce"], SITES["woocommerce"], strict=True):
        assert send(source, WOOCOMMERCE, secret, site) == 200
    found = orders(served, 2)
    assert [(each["shop"], each["order_id"], each["net_minor"]) for each in found] == [
        ("main", "81004", 99_900),
        ("outlet", "81004", 99_900),
    ]
    assert {each["attribution"]["method"] for each in found} == {"code"}
    assert rival.call("GET", "/v1/conversions")["data"] == []


def test_both_messages_at_one_address_are_two_orders_unless_they_are_of_two_shops(served: Served) -> None:
    [source] = answers(type_in(example("shopify-source"), served))
    secret, (site, other) = SECRETS["shopify"][0], SITES["shopify"]
    for message, of in zip(SHOPIFY, (site, site, other), strict=True):
        assert send(source, message, secret, of) == 200
    found = orders(served, 2)
    assert [(each["shop"], each["order_id"], each["net_minor"]) for each in found] == [
        ("main", "731001", 8_000),
        ("main", "732001", 30_000),
    ]
    [refused] = served.until(lambda: served.call("GET", "/v1/deliveries?reason=other_site")["data"])
    assert refused["status"] == "rejected"
    assert site in refused["detail"]
    assert other in refused["detail"]
    assert served.call("GET", "/v1/conversions?order_id=733001")["data"] == []


@pytest.mark.parametrize("page", ["stripe", "paddle", "polar", "postback", "generic"])
def test_what_is_no_shop_system_names_its_shop_where_there_are_several_as_its_page_says(
    served: Served, page: str
) -> None:
    script = example(f"{page}-source")
    [earlier] = answers(type_in(script, served))
    assert earlier["shop"] == "main"
    atelier, outlet, key = answers(type_in(example("two-shops"), served))
    assert (atelier["shop"], outlet["shop"], key["shop"]) == ("main", "outlet", "outlet")
    with pytest.raises(AssertionError, match=r"several shops: main, outlet"):
        type_in(script, served)
    [named] = answers(type_in(script.replace('"platform"', '"shop": "outlet", "platform"'), served))
    assert named["shop"] == "outlet"
    assert served.call("GET", f"/v1/sources/{earlier['id']}")["shop"] == "main"


@pytest.mark.parametrize("system", ["prestashop", "medusa", "vendure"])
def test_a_shop_system_by_preset_is_a_shop_of_its_own_beside_another_as_its_page_says(
    served: Served, system: str
) -> None:
    answers(type_in(example("woocommerce-source"), served))
    [source] = answers(type_in(example(f"{system}-source"), served))
    assert source["shop"] == system


@pytest.mark.parametrize(
    "page",
    [
        "README",
        "shopify",
        "woocommerce",
        "medusa",
        "vendure",
        "prestashop",
        "stripe",
        "lemonsqueezy",
        "paddle",
        "polar",
        "saleor",
        "shopware",
        "square",
        "postback",
        "generic",
    ],
)
def test_every_page_says_how_several_shops_are_connected(page: str) -> None:
    text = (Path(__file__).parent.parent / "docs" / "connect" / f"{page}.md").read_text()
    assert re.search(r"^## Several shops|#several-shops\)", text, flags=re.MULTILINE)
