"""What a reconciliation answers fits into the row of its job."""

import json
from collections import Counter

import iso4217

from app.domain.money import AMOUNT_MINOR_MAX
from app.domain.reconciliation import REASONS, Waterfall
from app.jobs.run import RESULT_BYTES_MAX

BESIDE_BYTES = 16 << 10
"""For what a result says beside its waterfalls."""


def test_a_list_in_every_currency_there_is_with_every_difference_fits_into_a_result() -> None:
    sums = Counter(dict.fromkeys(REASONS, AMOUNT_MINOR_MAX))
    falls = [
        Waterfall(each.code, missing_here=sums, missing_there=Counter(), differences=Counter())
        for each in iso4217.Currency
    ]
    for fall in falls:
        fall.all_orders_net_minor = sum(minor for _, minor in fall.steps())
    assert len(falls) > 150
    assert len(json.dumps([fall.figures() for fall in falls])) < RESULT_BYTES_MAX - BESIDE_BYTES
