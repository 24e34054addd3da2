"""A real Medusa, with the subscriber of docs/connect/medusa.md in it: what its administration says is what Ariane reports, to the cent."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

from tests.served import Served, free_port
from tests.shops import books
from tests.shops.books import SECRET, Campaign, Played
from tests.shops.conftest import HERE, SILENT, installed, running
from tests.shops.medusa_shop import CODES, STAFF, MedusaShop

SUBSCRIBER = Path(__file__).parents[2] / "app" / "platforms" / "presets" / "medusa" / "ariane.ts"
COMMAND = Path("node_modules") / ".bin" / "medusa"
MIGRATED_WITHIN_S = 300


@pytest.fixture(scope="module")
def medusa() -> Path:
    """Where Medusa is installed; asked for first, so that nothing is started for nothing."""
    return installed("medusa")


@pytest.fixture(scope="module")
def campaign(medusa: Path, whole: Served) -> Campaign:
    return books.open_campaign(whole, "medusa", tuple(CODES))


@pytest.fixture(scope="module")
def shop(
    medusa: Path,
    campaign: Campaign,
    postgres_port: int,
    empty_database: Callable[[str], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[MedusaShop]:
    empty_database("medusa")
    for name in ("medusa-config.js", "compile.js"):
        copyfile(HERE / "medusa" / name, medusa / name)
    variables = {
        "DATABASE_URL": f"postgres://ariane@127.0.0.1:{postgres_port}/medusa", "NODE_ENV": "production",
        "ARIANE_URL": campaign.source["url"], "ARIANE_SECRET": SECRET,
    }  # fmt: skip
    log = tmp_path_factory.mktemp("medusa") / "medusa.log"
    with log.with_name("setup.log").open("wb") as output:
        for command in (
            ["node", "compile.js", SUBSCRIBER],
            [COMMAND, "db:migrate"],
            [COMMAND, "user", "-e", STAFF["email"], "-p", STAFF["password"]],
        ):
            subprocess.run(
                command, cwd=medusa, env={**os.environ, **SILENT, **variables}, stdout=output, stderr=output, timeout=MIGRATED_WITHIN_S, check=True
            )  # fmt: skip
    url = f"http://127.0.0.1:{(port := free_port())}"
    with running([COMMAND, "start", "-p", str(port)], medusa, log, f"{url}/health", **variables):
        shop = MedusaShop(url)
        shop.furnish()
        yield shop


def play(shop: MedusaShop, campaign: Campaign) -> list[Played]:
    """The orders, each with what is right for it. A serum is 20.00 before tax, and so is a book; what is left is what the shop keeps of the goods."""
    played: list[Played] = []

    def ended(name: str, order: dict[str, Any], sold: int, left: int, *, cancelled: bool = False, **more: Any) -> None:
        now = shop.read(order["id"])
        # Medusa's totals go on holding the goods of a cancelled order.
        assert (now["status"] == "canceled") == cancelled
        held = 0 if cancelled else round(100 * (now["item_total"] - now["item_tax_total"]))
        code = "".join(each["code"] for each in now["promotions"] or [])
        played.append(Played(name, now["id"], now["currency_code"].upper(), sold, left, held, code=code, **more))

    ended("a code, one tax rate", shop.order(("SERUM", 2), code="LEA10"), 3_600, 3_600)
    ended("a code, two tax rates", shop.order(("SERUM", 1), ("BOOK", 1), code="MAX20"), 3_200, 3_200)
    ended("a click, no code", shop.order(("SERUM", 1), click=campaign.click()), 2_000, 2_000, by_link=True)
    ended("neither", shop.order(("BOOK", 3)), 6_000, 6_000)
    ended("dollars, tax on top", shop.order(("SERUM", 1), ("BOOK", 1), code="LEA10", currency="usd"), 4_410, 4_410)

    order = shop.order(("SERUM", 1), code="LEA10", captured=False)
    waiting = campaign.served.until(lambda: campaign.told(order["id"]), 30)
    assert waiting is not None
    assert waiting["status"] == "pending", "what is only authorised is not paid"
    shop.capture(order)
    ended("authorised, then captured", order, 1_800, 1_800)

    order = shop.order(("SERUM", 1), code="LEA10", captured=False)
    shop.capture(order, 10)
    shop.capture(order, order["total"] - 10)
    ended("captured in two parts", order, 1_800, 1_800)

    order = shop.order(("SERUM", 3))
    shop.edit(order, "SERUM", 2)
    shop.refund(order, 24)
    ended("edited down, with its refund", order, 6_000, 4_000)

    order = shop.order(("SERUM", 1), code="LEA10")
    shop.edit(order, "SERUM", 2)
    held = shop.read(order["id"])
    grown = round(100 * (held["item_total"] - held["item_tax_total"]))
    ended("edited up", order, grown, grown)

    order = shop.order(("SERUM", 3), ("BOOK", 1), code="LEA10")
    shop.take_return(order, "SERUM", 1)
    shop.refund(order, 21.60)
    ended("a piece returned and refunded", order, 7_200, 5_400)

    order = shop.order(("SERUM", 3), code="LEA10")
    shop.refund(order, 21.60)
    shop.take_return(order, "SERUM", 1)
    ended("refunded, and the piece later back", order, 5_400, 3_600)

    order = shop.order(("SERUM", 2), code="LEA10")
    shop.refund(order, 15.62)
    ended("goodwill with tax", order, 3_600, 2_298, goodwill=1_302)

    order = shop.order(("SERUM", 1), code="LEA10")
    shop.refund(order, 5)
    shop.refund(order, 5)
    ended("goodwill twice, uneven", order, 1_800, 967, goodwill=833)

    order = shop.order(("SERUM", 2), ("BOOK", 1), code="LEA10")
    shop.refund(order, 12)
    # 62.19 with tax are 54.00 before it: two rates, so that 12.00 of them are 10.42.
    ended("goodwill, two tax rates", order, 5_400, 4_358, goodwill=1_042)

    order = shop.order(("SERUM", 1), code="LEA10")
    shop.refund(order, order["total"])
    ended("refunded whole, not cancelled", order, 1_800, 0, goodwill=1_800)

    order = shop.order(("SERUM", 1), ("BOOK", 1), code="LEA10")
    shop.cancel(order)
    ended("cancelled and refunded whole", order, 3_600, 0, cancelled=True)

    order = shop.order(("SERUM", 1), code="LEA10", captured=False)
    shop.cancel(order)
    ended("cancelled before the capture", order, 1_800, 0, cancelled=True, status="pending")
    return played


@pytest.fixture(scope="module")
def orders(shop: MedusaShop, campaign: Campaign, request: pytest.FixtureRequest) -> list[Played]:
    """All orders, when Ariane has heard of them; the figures are printed."""
    played = play(shop, campaign)
    books.settle(campaign, played)
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        books.print_books("Medusa", campaign, played)
    return played


def test_every_order_of_a_medusa_shop_is_reported_to_the_cent(orders: list[Played], campaign: Campaign) -> None:
    assert books.differences(campaign, orders) == []
    assert len(orders) >= 15


def test_the_report_is_the_sum_of_what_the_medusa_shop_kept(orders: list[Played], campaign: Campaign) -> None:
    books.compare_reports(campaign, orders)
