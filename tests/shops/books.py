"""What a shop's own administration says of its orders, beside what Ariane says of them."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

from app import clock
from tests.served import Served

SECRET = "the secret of a shop that is really there"
DELIVERED_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Played:
    """An order that was played, in minor units before tax.

    sold: what was sold at its most. left: what the shop kept. held: the goods that the shop's own administration says are in the order now.
    goodwill: what went back although the goods stayed, known from the case alone: shops say it with tax.
    """

    name: str
    order_id: str
    currency: str
    sold: int
    left: int
    held: int
    goodwill: int = 0
    code: str = ""
    by_link: bool = False
    status: str = "approved"


@dataclass(frozen=True, slots=True)
class Campaign:
    """A brand with one influencer, two codes and a link, its source for the shop, and a rival with the like."""

    served: Served
    rival: Served
    source: dict[str, Any]
    link: dict[str, Any]

    def click(self) -> str:
        """The id of a click on the link, as the landing page gets it."""
        opener = build_opener(_Stay)
        request = Request(self.link["short_url"], headers={"User-Agent": "Mozilla/5.0 (iPhone) Mobile Safari"})
        location = opener.open(request).headers["Location"]
        return str(location.partition("ariane=")[2].partition("&")[0])

    def told(self, order_id: str) -> dict[str, Any] | None:
        """What Ariane says of an order."""
        found: list[dict[str, Any]] = self.served.call("GET", f"/v1/conversions?order_id={order_id}")["data"]
        return found[0] if found else None


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None

    def http_error_302(self, _: Any, answer: Any, *__: Any) -> Any:
        return answer

    http_error_301 = http_error_303 = http_error_307 = http_error_302


_numbers = itertools.count()


def open_campaign(whole: Served, preset: str, codes: tuple[str, ...]) -> Campaign:
    """A new brand, ready for the shop's first order."""
    served, rival = (whole.of(f"{who} of {preset} {next(_numbers)}") for who in ("Alice", "Charlie"))
    source: dict[str, Any] = {}
    link: dict[str, Any] = {}
    for brand in (rival, served):
        campaign = brand.call("POST", "/v1/campaigns", {"name": "Launch", "objective": "sales"})
        influencer = brand.call("POST", "/v1/influencers", {"name": "Léa"})
        pair = {"campaign_id": campaign["id"], "influencer_id": influencer["id"]}
        for code in codes:
            brand.call("POST", "/v1/codes", {**pair, "code": code})
        link = brand.call("POST", "/v1/links", {**pair, "destination_url": "https://shop.example/"})
        made = {"platform": "generic", "name": preset, "secrets": [SECRET], "settings": {"preset": preset}}
        source = brand.call("POST", "/v1/sources", made)
    return Campaign(served, rival, source, link)


def settle(campaign: Campaign, orders: list[Played]) -> None:
    """Waits until Ariane has what is expected of every order, or for as long as a message may take."""

    def all_there() -> bool:
        return all(figures(campaign.told(each.order_id)) == (each.sold, each.left) for each in orders)

    try:
        campaign.served.until(all_there, DELIVERED_WITHIN_S)
    except AssertionError:
        # The tests say which order is wrong, and by how much.
        return


def figures(told: dict[str, Any] | None) -> tuple[int | None, int | None]:
    """What was sold and what is left of an order."""
    if told is None or told["net_minor"] is None:
        return None, None
    return told["net_minor"], told["net_minor"] - told["refunded_minor"]


def print_books(title: str, campaign: Campaign, orders: list[Played], out: Callable[[str], None] = print) -> None:
    """The figures side by side."""
    out(f"\n{title}: {len(orders)} orders, in minor units before tax")
    out(f"{'order':34} {'':4} {'sold':>8} {'kept':>8}   {'Ariane: sold':>12} {'kept':>8}  by      status")
    for each in orders:
        told = campaign.told(each.order_id)
        sold, left = figures(told)
        method = told["attribution"]["method"] if told else None
        status = told["status"] if told else "never came"
        out(
            f"{each.name:34} {each.currency:4} {each.sold:8} {each.left:8}   {sold!s:>12} {left!s:>8}  {method or '–':6}  {status}"
        )


def differences(campaign: Campaign, orders: list[Played]) -> list[str]:
    """Where the shop and Ariane differ: in a cent, a currency, in what led there, in a status."""
    found = []
    for each in orders:
        told = campaign.told(each.order_id)
        if told is None:
            found.append(f"{each.name}: never came")
            continue
        method = "code" if each.code else "click" if each.by_link else None
        right = (each.currency, each.sold, each.left, each.status, method)
        ours = (told["currency"], *figures(told), told["status"], told["attribution"]["method"])
        if ours != right:
            found.append(f"{each.name}: {right} is right, and Ariane says {ours}, {told['flags']}")
        if each.held - each.goodwill != each.left:
            found.append(f"{each.name}: the shop holds {each.held}, and {each.left} was expected to be left")
        if campaign.rival.call("GET", f"/v1/conversions?order_id={each.order_id}")["data"]:
            found.append(f"{each.name}: a rival sees it")
    return found


def compare_reports(campaign: Campaign, orders: list[Played]) -> None:
    """The sums of what is attributed, by currency."""
    today = clock.now()
    period = urlencode({"from": (today - timedelta(days=2)).isoformat(), "to": (today + timedelta(days=2)).isoformat()})
    for currency in {each.currency for each in orders}:
        totals = campaign.served.call("GET", f"/v1/reports/summary?{period}&currency={currency}")["totals"]
        credited = [each for each in orders if each.currency == currency and (each.code or each.by_link)]
        assert totals["net_minor"] == sum(each.left for each in credited), currency
