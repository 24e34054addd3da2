"""The launch day, small, against a running service: its own books and the report agree to the minor unit. And the books themselves."""

import os
import random
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.carts import steps
from demo.compare import compare_report, differ
from demo.day import Order, draw_order
from demo.ledger import Books, Deal, Ledger, Money
from demo.setting import COUNTER, SHOPS
from demo.shops.letters import Names, Shop
from demo.witnesses import COUNTER_STORIES, tell_at_the_counter
from tests.served import ARIANE, Served

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_the_demo_finds_the_running_service_and_ends_without_differences(whole: Served) -> None:
    port = whole.url.rpartition(":")[2]
    environment = {**os.environ, "PORT": port, "ARIANE_DATA": str(whole.data), "COLUMNS": "100"}
    command = [ARIANE, "demo", "--clicks", "200", "--orders", "80", "--seed", "7"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 differences" in done.stdout
    assert "Léa Martin" in done.stdout
    for shop in SHOPS:
        assert shop.name in done.stdout


def an_order(shop: str, story: str, number: int) -> Order:
    """The first order of this story that chance gives a shop, with two lines at least."""
    for seed in range(10_000):
        order = draw_order(random.Random(seed), number, NOON, shop, (story,), [0], 1)
        if order.story == story and len(order.cart.items) > 1 and not order.test:
            return order
    raise AssertionError(f"no order of {story}")


@pytest.mark.parametrize(("shop", "story"), [(shop, story) for shop in SHOPS for story in shop.stories])
def test_every_story_of_a_shop_is_told(shop: Shop, story: str) -> None:
    for number in range(1_001, 1_004):
        order = an_order(shop.name, story, number)
        kept = shop.tell(replace(order, story="kept"), Names(code="LEA10"))
        told = shop.tell(order, Names(code="LEA10"))
        assert told.letters != kept.letters
        assert 0 <= sum(back.net_minor for back in told.back) <= order.cart.net_minor()


def test_every_story_of_the_counter_is_told() -> None:
    for story in COUNTER_STORIES:
        order = an_order(COUNTER, story, 1_001)
        telling, calls = tell_at_the_counter(order)
        assert len(calls) == len(telling.back) > 0


@given(st.lists(st.integers(0, 10_000), max_size=5), st.integers(0, 10_000), st.integers(1, 20_000))
def test_money_given_back_in_parts_is_the_part_of_all_of_it(amounts: list[int], part: int, whole: int) -> None:
    given_back = min(sum(amounts), whole)
    assert sum(steps(amounts, part, whole)) == int(Fraction(given_back * part, whole) + Fraction(1, 2))


def test_a_wrong_figure_is_a_difference() -> None:
    assert differ("totals", {"net_minor": 100}, {"net_minor": 100}) == []
    assert differ("totals", {"net_minor": 100}, {"net_minor": 99}) == ["totals: net_minor is 99, the books say 100"]
    assert differ("day 2026-11-22", {"clicks": 3}, {}) == ["day 2026-11-22: clicks is None, the books say 3"]
    assert differ("roi", {"roi": Fraction(1, 3)}, {"roi": 0.333333}) == []
    assert differ("roi", {"roi": Fraction(1, 3)}, {"roi": 0.333335}) != []


def books_of(net_minor: int) -> Books:
    deal = Deal("inf_1", "cam_1", "col_1")
    ledger = Ledger("EUR", ZoneInfo("Europe/Paris"))
    ledger.money.append(Money("main", "1001", deal, None, "cod_1", net_minor, "EUR", NOON, NOON))
    return ledger.closed()


def report_of(books: Books, groups: tuple[str, ...]) -> dict[str, Any]:
    """A report that says what these books say."""
    rows = [
        {"key": {group: {"id": part} for group, part in zip(groups, key, strict=True)}, **counted.figures()}
        for key, counted in books.rows(groups).items()
    ]
    alone = books.unattributed().of_orders()
    whole = books.all_orders().of_orders()
    totals = books.totals().figures()
    return {
        "rows": rows,
        "totals": totals,
        "unattributed": alone,
        "all_orders": whole,
        "unconverted": [],
        "unsplit": [],
    }


def test_one_minor_unit_in_one_row_is_found() -> None:
    groups = ("influencer", "campaign")
    books = books_of(4_990)
    report = report_of(books, groups)
    assert compare_report("all", report, books, groups) == []
    report["rows"][0]["refunds_minor"] = 1
    assert compare_report("all", report, books, groups) == [
        "all: influencer inf_1, campaign cam_1: refunds_minor is 1, the books say 0"
    ]


def test_a_row_of_which_the_books_know_nothing_is_found() -> None:
    groups = ("influencer",)
    books = books_of(4_990)
    report = report_of(books, groups)
    report["rows"].append({**report["rows"][0], "key": {"influencer": {"id": None}}})
    assert "all: influencer (unknown): gross_minor is 4990, the books say 0" in compare_report(
        "all", report, books, groups
    )
