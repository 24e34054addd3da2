"""The figures of a report: golden vectors, nothing to divide by, rounding."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import kpi
from app.domain.kpi import METRICS, Facts, Missing, compute

BY_NAME = {metric.name: metric for metric in METRICS}
# 5,000.00 of revenue for 1,000.00: the vector that a page teaching "150 % ROI" gets wrong.
LAUNCH = Facts(
    clicks=2_000,
    unique_clicks=1_500,
    conversions=40,
    orders=40,
    gross_minor=520_000,
    order_gross_minor=520_000,
    refunds_minor=20_000,
    cost_minor=100_000,
)


def test_every_figure_of_a_launch_is_what_paper_says() -> None:
    values = compute(LAUNCH).values
    assert values["net_minor"] == 500_000
    assert values["profit_minor"] == 400_000
    assert values["roi"] == Decimal("4.000000")
    assert values["roas"] == Decimal("5.000000")
    assert values["cpa_minor"] == 2_500
    assert values["aov_minor"] == 13_000
    assert values["cvr"] == Decimal("0.026667")
    assert values["cvr_clicks"] == Decimal("0.020000")
    assert values["rpc_minor"] == 250
    assert values["cpc_minor"] == 50


def test_a_loss_of_forty_percent_is_minus_point_four() -> None:
    assert compute(Facts(gross_minor=6_000, cost_minor=10_000)).values["roi"] == Decimal("-0.400000")


def test_items_code_refund_walk_through_keeps_tax_and_shipping_out() -> None:
    # Items 120.00 with 20 % tax, −10 %: 90.00 net; 40.00 net refunded.
    values = compute(
        Facts(conversions=1, orders=1, gross_minor=9_000, order_gross_minor=9_000, refunds_minor=4_000)
    ).values
    assert (values["gross_minor"], values["refunds_minor"], values["net_minor"]) == (9_000, 4_000, 5_000)
    assert values["aov_minor"] == 9_000


def test_nothing_to_divide_by_is_null_with_a_reason_for_every_ratio() -> None:
    figures = compute(Facts())
    assert figures.reasons == {
        "roi": "no_cost",
        "roas": "no_cost",
        "cpa_minor": "no_conversions",
        "aov_minor": "no_orders",
        "cvr": "no_clicks",
        "cvr_clicks": "no_clicks",
        "rpc_minor": "no_clicks",
        "cpc_minor": "no_clicks",
    }
    assert all(figures.values[name] is None for name in figures.reasons)
    assert all(value == 0 for name, value in figures.values.items() if name not in figures.reasons)


def test_what_cannot_be_split_makes_what_is_computed_from_it_null_with_the_same_reason() -> None:
    figures = compute(Facts(clicks=10, unique_clicks=10, conversions=1, orders=1, cost_minor=Missing("unsplittable")))
    assert {name for name, reason in figures.reasons.items() if reason == "unsplittable"} == {
        "cost_minor",
        "profit_minor",
        "roi",
        "roas",
        "cpa_minor",
        "cpc_minor",
    }
    assert figures.values["cvr"] == Decimal("0.100000")


def test_a_ratio_is_a_ratio_of_sums_and_not_the_mean_of_ratios() -> None:
    small = Facts(clicks=10, unique_clicks=10, conversions=5)
    large = Facts(clicks=990, unique_clicks=990, conversions=5)
    both = Facts(clicks=1_000, unique_clicks=1_000, conversions=10)
    cvr = BY_NAME["cvr"].of
    mean = (cvr(small) + cvr(large)) / 2  # type: ignore[operator]
    assert cvr(both) == Fraction(1, 100)
    assert mean == Fraction(5, 990) / 2 + Fraction(1, 4)


def test_leads_do_not_dilute_the_average_order() -> None:
    facts = Facts(conversions=11, orders=1, gross_minor=9_000, order_gross_minor=9_000)
    assert BY_NAME["aov_minor"].of(facts) == 9_000


def test_a_shared_conversion_is_shown_with_its_share() -> None:
    values = compute(Facts(conversions=Fraction(1, 3) + 2)).values
    assert values["conversions"] == Decimal("2.3333")
    assert compute(Facts(conversions=Fraction(4, 2))).values["conversions"] == 2


@pytest.mark.parametrize(
    ("value", "rounded"),
    [("5/2", 3), ("-5/2", -3), ("12/5", 2), ("-12/5", -2), ("1/2", 1), ("-1/2", -1), ("1/3", 0), ("7", 7)],
)
def test_halves_go_away_from_zero(value: str, rounded: int) -> None:
    assert kpi.round_half_up(Fraction(value)) == rounded


@given(st.fractions(min_value=-(10**18), max_value=10**18), st.integers(0, 8))
def test_a_shown_fraction_is_within_half_a_unit_of_the_exact_one(value: Fraction, decimals: int) -> None:
    shown = kpi.to_decimal(value, decimals)
    assert abs(Fraction(shown) - value) <= Fraction(1, 2 * 10**decimals)
    assert -shown.as_tuple().exponent == decimals  # type: ignore[operator]


def test_huge_ratios_keep_every_digit() -> None:
    # Arithmetic on Decimals would keep 28 digits only.
    assert Fraction(kpi.to_decimal(Fraction(10**30 + 1), 6)) == 10**30 + 1


def test_names_are_unique_and_every_metric_says_what_it_is() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert all(metric.formula and metric.source for metric in METRICS)
    assert all((metric.unit == "minor") == metric.name.endswith("_minor") for metric in METRICS)
    assert {"conversions", "orders", "gross_minor", "refunds_minor", "net_minor", "aov_minor"} == kpi.ORDER_METRICS


def test_every_count_is_shown_under_its_own_name() -> None:
    counted = [metric.name for metric in METRICS if metric.name in Facts.__dataclass_fields__]
    assert " ".join(counted) == (
        "clicks unique_clicks bots previews prefetches heads conversions orders gross_minor refunds_minor cost_minor"
    )
    values = compute(Facts(**{name: place for place, name in enumerate(counted, 1)})).values
    assert [values[name] for name in counted] == list(range(1, len(counted) + 1))
    assert {metric.unit for metric in METRICS if metric.name in counted[:8]} == {"count"}


def test_every_definition_says_whose_it_is() -> None:
    for metric in METRICS:
        assert metric.source.startswith(("usual", "ours", "all costs", "Awin: ", "GRIN: ", "Everflow: ")), metric.name


def test_only_the_named_metrics_are_computed_and_the_others_do_not_stop_them() -> None:
    figures = compute(Facts(cost_minor=Missing("unsplittable")), frozenset({"orders", "cost_minor", "roi"}))
    assert figures.values == {"orders": 0, "cost_minor": None, "roi": None}
    assert figures.reasons == {"cost_minor": "unsplittable", "roi": "unsplittable"}


@pytest.mark.parametrize(
    ("part", "whole", "share"),
    [
        (Fraction(1, 2), 4, Fraction(1, 8)),
        (1, Fraction(4, 3), Fraction(3, 4)),
        (Missing("unsplittable"), Missing("no_cost"), Missing("unsplittable")),
        (1, Missing("no_cost"), Missing("no_cost")),
        (5, 0, Missing("no_conversions")),
        (-5, -2, Fraction(5, 2)),
    ],
)
def test_the_coverage_is_the_share_of_all_orders_that_is_attributed(
    part: kpi.Figure, whole: kpi.Figure, share: kpi.Figure
) -> None:
    assert kpi.coverage(part, whole) == share


def test_a_difference_is_missing_for_the_first_reason() -> None:
    lacking, other = Missing("unsplittable"), Missing("no_cost")
    assert kpi.difference(5, 7) == -2
    assert kpi.difference(lacking, other) == lacking
    assert kpi.difference(5, other) == other


@pytest.mark.parametrize(
    ("figure", "unit", "value"),
    [
        (Missing("no_clicks"), "ratio", "None"),
        (2, "ratio", "2.000000"),
        (Fraction(5, 2), "minor", "3"),
        (7, "minor", "7"),
        (Fraction(4, 2), "count", "2"),
        (Fraction(1, 3), "count", "0.3333"),
    ],
)
def test_a_figure_is_shown_as_its_unit_says(figure: kpi.Figure, unit: kpi.Unit, value: str) -> None:
    assert str(kpi.shown(figure, unit)) == value
