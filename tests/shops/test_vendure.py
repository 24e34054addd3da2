"""A real Vendure, with the plugin of docs/connect/vendure.md in it: what its administration says is what Ariane reports, to the cent."""

from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

from tests.served import Served, free_port
from tests.shops import books
from tests.shops.books import SECRET, Campaign, Played
from tests.shops.conftest import HERE, installed, running
from tests.shops.vendure_shop import CODES, VendureShop

PLUGIN = Path(__file__).parents[2] / "app" / "platforms" / "presets" / "vendure" / "ariane.plugin.ts"


@pytest.fixture(scope="module")
def vendure() -> Path:
    """Where Vendure is installed; asked for first, so that nothing is started for nothing."""
    return installed("vendure")


@pytest.fixture(scope="module")
def campaign(vendure: Path, whole: Served) -> Campaign:
    return books.open_campaign(whole, "vendure", tuple(CODES))


@pytest.fixture(scope="module")
def shop(
    vendure: Path,
    campaign: Campaign,
    server: str,
    empty_database: Callable[[str], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[VendureShop]:
    empty_database("vendure")
    copyfile(HERE / "vendure" / "server.js", vendure / "server.js")
    url = f"http://127.0.0.1:{(port := free_port())}"
    host = server.partition("host=")[2].partition("&")[0]
    variables = {
        "DATABASE_HOST": host, "DATABASE_NAME": "vendure", "SHOP_PORT": str(port),
        "ARIANE_PLUGIN": str(PLUGIN), "ARIANE_URL": campaign.source["url"], "ARIANE_SECRET": SECRET,
    }  # fmt: skip
    log = tmp_path_factory.mktemp("vendure") / "vendure.log"
    with running(["node", "server.js"], vendure, log, f"{url}/health", **variables):
        shop = VendureShop(url)
        shop.furnish()
        yield shop


def play(shop: VendureShop, campaign: Campaign) -> list[Played]:
    """The orders, each with what is right for it. A serum is 20.00 before tax, and so is a book; what is left is what the shop keeps of the goods."""
    played: list[Played] = []

    def ended(name: str, order: dict[str, Any], sold: int, left: int, **more: Any) -> None:
        now = shop.read(order["id"])
        # Hundredths of a yen are Vendure's own.
        held = now["subTotal"] // 100 if now["currencyCode"] == "JPY" else now["subTotal"]
        codes = "".join(now["couponCodes"])
        played.append(Played(name, now["code"], now["currencyCode"], sold, left, held, code=codes, **more))

    ended("a code, one tax rate", shop.order(("SERUM", 2), code="LEA10"), 3_600, 3_600)
    ended("a code, two tax rates", shop.order(("SERUM", 1), ("BOOK", 1), code="MAX20"), 3_200, 3_200)
    ended("a click, no code", shop.order(("SERUM", 1), click=campaign.click()), 2_000, 2_000, by_link=True)
    ended("neither", shop.order(("BOOK", 3)), 6_000, 6_000)
    ended("dollars", shop.order(("SERUM", 1), ("BOOK", 1), code="LEA10", currency="USD"), 4_410, 4_410)
    ended("yen", shop.order(("SERUM", 2), code="LEA10", currency="JPY"), 4_500, 4_500)

    order = shop.order(("SERUM", 1), code="LEA10", method="authorised")
    waiting = campaign.served.until(lambda: campaign.told(order["code"]), 30)
    assert waiting is not None
    assert waiting["status"] == "pending", "what is only authorised is not paid"
    shop.capture(order)
    ended("authorised, then captured", order, 1_800, 1_800)

    order = shop.order(("SERUM", 3), code="LEA10")
    # 44.80 with tax are left, not 43.20: Vendure gives an edited line only the share of the new discount that its pieces had of the old.
    shop.edit(order, "SERUM", 2, give_back=2_000)
    ended("edited down, with its refund", order, 5_400, 3_733)

    order = shop.order(("SERUM", 1), code="LEA10")
    shop.edit(order, "SERUM", 2)
    ended("edited up, the rest paid", order, 3_600, 3_600)

    order = shop.order(("SERUM", 1), ("BOOK", 1), code="LEA10")
    shop.refund(order, 1_899, of={"BOOK": 1})
    ended("a line refunded, not cancelled", order, 3_600, 1_800, goodwill=1_800)

    order = shop.order(("SERUM", 3), code="LEA10")
    shop.cancel(order, {"SERUM": 1})
    shop.refund(order, 2_160, of={"SERUM": 1})
    ended("a line cancelled and refunded", order, 5_400, 3_600)

    order = shop.order(("SERUM", 3), ("BOOK", 1), code="LEA10")
    shop.refund(order, 2_160, of={"SERUM": 1})
    shop.cancel(order, {"SERUM": 1})
    ended("a line refunded, then cancelled", order, 7_200, 5_400)

    order = shop.order(("SERUM", 2), code="LEA10")
    shop.refund(order, 1_200)
    ended("goodwill", order, 3_600, 2_600, goodwill=1_000)

    order = shop.order(("SERUM", 1), code="LEA10")
    shop.refund(order, 500)
    shop.refund(order, 500)
    ended("goodwill twice, uneven", order, 1_800, 967, goodwill=833)

    order = shop.order(("SERUM", 1), code="LEA10")
    shop.refund(order, 600, shipping=600)
    ended("shipping refunded", order, 1_800, 1_800)

    order = shop.order(("SERUM", 1), ("BOOK", 1), code="LEA10")
    shop.cancel(order)
    shop.refund(order, order["totalWithTax"])
    ended("cancelled and refunded whole", order, 3_600, 0)

    order = shop.order(("SERUM", 1), code="LEA10", method="authorised")
    shop.cancel(order)
    ended("cancelled before the capture", order, 1_800, 0, status="pending")
    return played


@pytest.fixture(scope="module")
def orders(shop: VendureShop, campaign: Campaign, request: pytest.FixtureRequest) -> list[Played]:
    """All orders, when Ariane has heard of them; the figures are printed."""
    played = play(shop, campaign)
    books.settle(campaign, played)
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        books.print_books("Vendure", campaign, played)
    return played


def test_every_order_of_a_vendure_shop_is_reported_to_the_cent(orders: list[Played], campaign: Campaign) -> None:
    assert books.differences(campaign, orders) == []
    assert len(orders) >= 15


def test_the_report_is_the_sum_of_what_the_vendure_shop_kept(orders: list[Played], campaign: Campaign) -> None:
    books.compare_reports(campaign, orders)
