"""The parts of the bench that every figure rests on."""

import pytest

from bench import figures, orders
from bench.requests import NUMBER, Requests


def test_a_script_of_wrk_says_what_the_requests_say() -> None:
    requests = Requests(("/v1/é",), "POST", {"X-Quote": 'a"b\\c'}, f'{{"id":"{NUMBER}"}}', first_number=5)
    script = requests.lua()
    assert 'wrk.headers["X-Quote"] = "a\\034b\\092c"' in script
    assert '"/v1/\\195\\169"' in script
    assert "local number = 4\n" in script
    assert '"{\\034id\\034:\\034" .. string.format("%d", number) .. "\\034}"' in script


def test_percentiles_and_spread_are_of_the_values_themselves() -> None:
    values = [float(each) for each in range(100, 0, -1)]
    assert (figures.percentile(values, 50), figures.percentile(values, 99), figures.percentile(values, 100)) == (
        51,
        100,
        100,
    )
    assert figures.spread_percent([2.0, 3.0]) == pytest.approx(50)


def test_the_orders_are_as_long_as_the_figures_say() -> None:
    assert 24_000 < len(orders.shopify_order(orders.sample(), 1).body) < 26_000
    assert 2_000 < len(orders.shopify_order(orders.small_sample(), 1).body) < 3_500
