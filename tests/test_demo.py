"""A small launch day against a running service, whose report and the demo's books agree to the minor unit; and the books themselves."""

import os
import random
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import ids
from demo.brand_setup import COUNTER
from demo.clicks import time_of
from demo.compare import compare_report, differ
from demo.figures import figures, order_figures
from demo.ledger import BookedOrder, Deal, Ledger, Query, Share
from demo.other_reports import COUNTER_OUTCOMES, simulate_counter
from demo.scenario import draw_order
from demo.simulator.carts import cumulative_shares
from demo.simulator.checkouts import SHOPS
from demo.simulator.orders import Evidence, Order, Shop
from tests.served import ARIANE, Served

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_the_demo_finds_the_running_service_and_ends_without_differences(whole: Served) -> None:
    port = whole.url.rpartition(":")[2]
    environment = {**os.environ, "PORT": port, "ARIANE_DATA": str(whole.data), "COLUMNS": "100"}
    command = [ARIANE, "demo", "--clicks", "200", "--orders", "80", "--seed", "7"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 differences" in done.stdout
    assert re.search(r"[1-9]\d* forged pixels", done.stdout)
    assert "Léa Martin" in done.stdout
    for shop in SHOPS:
        assert shop.name in done.stdout


def an_order(shop: str, outcome: str, number: int) -> Order:
    """The first drawn order of a shop with this outcome and two lines at least."""
    for seed in range(10_000):
        order = draw_order(random.Random(seed), number, NOON, shop, (outcome,), [0], 1)
        if order.outcome == outcome and len(order.cart.items) > 1 and not order.test:
            return order
    raise AssertionError(f"no order that ends {outcome}")


@pytest.mark.parametrize(("shop", "outcome"), [(shop, outcome) for shop in SHOPS for outcome in shop.outcomes])
def test_every_outcome_of_a_shop_is_simulated(shop: Shop, outcome: str) -> None:
    for number in range(1_001, 1_004):
        order = an_order(shop.name, outcome, number)
        kept = shop.simulate(replace(order, outcome="kept"), Evidence(code="LEA10"))
        simulation = shop.simulate(order, Evidence(code="LEA10"))
        assert simulation.messages != kept.messages
        assert 0 <= sum(refund.net_minor for refund in simulation.refunds) <= order.cart.net_minor()


def test_every_outcome_of_the_counter_is_simulated() -> None:
    for outcome in COUNTER_OUTCOMES:
        order = an_order(COUNTER, outcome, 1_001)
        simulation, calls = simulate_counter(order)
        assert len(calls) == len(simulation.refunds) > 0


@given(st.lists(st.integers(0, 10_000), max_size=5), st.integers(0, 10_000), st.integers(1, 20_000))
def test_the_shares_of_partial_refunds_add_up_to_the_share_of_their_sum(
    amounts: list[int], part: int, whole: int
) -> None:
    refunded = min(sum(amounts), whole)
    assert sum(cumulative_shares(amounts, part, whole)) == int(Fraction(refunded * part, whole) + Fraction(1, 2))


def test_the_time_of_a_click_is_read_from_its_id() -> None:
    assert time_of(ids.show("click", ids.floor_at(NOON))) == NOON


def test_a_wrong_figure_is_a_difference() -> None:
    assert differ("totals", {"net_minor": 100}, {"net_minor": 100}) == []
    assert differ("totals", {"net_minor": 100}, {"net_minor": 99}) == ["totals: net_minor is 99, the books say 100"]
    assert differ("day 2026-11-22", {"clicks": 3}, {}) == ["day 2026-11-22: clicks is None, the books say 3"]
    assert differ("roi", {"roi": Fraction(1, 3)}, {"roi": 0.333333}) == []
    assert differ("roi", {"roi": Fraction(1, 3)}, {"roi": 0.333335}) != []


def books_of(net_minor: int) -> Ledger:
    deal = Deal("inf_1", "cam_1", "col_1")
    ledger = Ledger("EUR", ZoneInfo("Europe/Paris"))
    ledger.orders.append(BookedOrder(NOON, (net_minor,), (Share(deal, None, "cod_1"),), order_id="1001"))
    return ledger


def report_of(ledger: Ledger, query: Query) -> dict[str, Any]:
    """A report that says what these books say."""
    expected = ledger.report(query)
    rows = [
        {
            "key": {group: {"id": part} for group, part in zip(query.groups, key, strict=True)},
            **figures(counts, with_clicks=query.with_clicks, with_costs=query.with_costs),
        }
        for key, counts in expected.rows.items()
    ]
    return {
        "rows": rows,
        "totals": figures(expected.totals, with_clicks=True, with_costs=True),
        "unattributed": order_figures(expected.unattributed),
        "all_orders": order_figures(expected.all_orders()),
        "unconverted": [],
        "unsplit": [],
    }


def test_one_minor_unit_in_one_row_is_found() -> None:
    query = Query(("influencer", "campaign"))
    books = books_of(4_990)
    report = report_of(books, query)
    assert compare_report("all", report, books, query) == []
    report["rows"][0]["refunds_minor"] = 1
    assert compare_report("all", report, books, query) == [
        "all: influencer inf_1, campaign cam_1: refunds_minor is 1, the books say 0"
    ]


def test_a_row_that_is_not_in_the_books_is_found() -> None:
    query = Query(("influencer",))
    books = books_of(4_990)
    report = report_of(books, query)
    report["rows"].append({**report["rows"][0], "key": {"influencer": {"id": None}}})
    assert "all: influencer (unknown): gross_minor is 4990, the books say 0" in compare_report(
        "all", report, books, query
    )


WITHOUT_THE_DEMO = """
import sys
from importlib.abc import MetaPathFinder

class Hidden(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "demo":
            raise ModuleNotFoundError("No module named 'demo'", name="demo")

sys.meta_path.insert(0, Hidden())
sys.argv = ["ariane", "demo"]
from app.cli import main
main()
"""


def test_the_command_says_what_to_do_where_the_demo_is_not_installed() -> None:
    command = [sys.executable, "-c", WITHOUT_THE_DEMO]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == "ariane: the demo is not installed here; run `make demo` in a copy of the source\n"
