"""Mappings of checkouts that say it their own way: refunds with tax or by lines, sums of places, lists at the root, places that reach up."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.domain.folding import Order, fold
from app.domain.orders import (
    TRUST_WEBHOOK,
    Adjustment,
    Context,
    OrderLine,
    OrderReport,
    Parsed,
    Receipt,
    Witness,
    content_hash,
    encode_report,
    version_at,
)
from app.platforms import personal
from app.platforms.generic.mapping import faults, read_mapping
from app.platforms.generic.trial import trial_messages
from app.platforms.generic.webhook import parse
from app.platforms.kit.trial import TrialOrder

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CONTEXT = Context(received_at=NOW, currency="EUR", customer_key=lambda number, email: f"{number}/{email}")
HOOK = Receipt(TRUST_WEBHOOK, "hook", "generic", NOW)


def mapped(rules: list[dict[str, Any]], body: Any, **table: Any) -> Parsed:
    """A body read by these rules, in minor units unless the table says otherwise."""
    mapping = {"amounts": "minor", **table, "rules": rules}
    assert list(faults(read_mapping(mapping))) == []
    return parse(json.dumps(body).encode(), {}, replace(CONTEXT, settings={"mapping": mapping}))


def order(rule: dict[str, Any], body: Any, **table: Any) -> OrderReport:
    parsed = mapped([{"read": "order", "order_id": "/id", **rule}], body, **table)
    assert parsed.rejected is None, parsed.detail
    [report] = parsed.reports
    return report


def folded(*parsed: Parsed) -> Order:
    """The order that these messages tell, whatever came first."""
    reports = [report for each in parsed for report in each.reports]
    witnesses = [
        Witness(each, TRUST_WEBHOOK, content_hash(HOOK, encode_report(each)), NOW) for each in reports if not each.stub
    ]
    refunds = [
        Adjustment(each, TRUST_WEBHOOK, content_hash(HOOK, encode_report(each)), NOW)
        for report in reports
        for each in report.refunds
    ]
    return fold(witnesses, refunds)


SALE = {"read": "order", "when": [{"at": "/event", "equals": "sold"}], "order_id": "/id", "net": "/net", "tax": "/tax"}


def test_what_was_paid_back_with_tax_takes_the_goods_in_it_whatever_comes_first() -> None:
    back = {"read": "refund", "order_id": "/order", "refund_id": "/id", "gross": "/amount"}
    sale = mapped([SALE, back], {"event": "sold", "id": 1, "net": 9_000, "tax": 1_800})
    half = mapped([SALE, back], {"event": "back", "id": 2, "order": 1, "amount": 5_400})
    rest = mapped([SALE, back], {"event": "back", "id": 3, "order": 1, "amount": 5_400})
    assert [each.amount_minor for each in folded(half, sale).effects] == [4_500]
    whole = folded(rest, half, sale)
    assert ([each.amount_minor for each in whole.effects], whole.flags) == ([4_500, 4_500], ())


def test_shipping_has_a_tax_of_its_own_where_the_message_says_it() -> None:
    rule = {"net": "/net", "shipping": "/shipping", "tax": "/tax", "shipping_tax": "/shipping_tax"}
    assert order(rule, {"id": 1, "net": 1, "shipping": 2, "tax": 3, "shipping_tax": 1}).shipping_tax_minor == 1


def test_a_refund_told_by_its_lines_is_worth_what_they_are_worth_in_the_order() -> None:
    sale = {**SALE, "lines": {"each": "/items/*", "id": "/id", "quantity": "/n", "net": "/net"}}
    back = {
        "read": "refund",
        "order_id": "/order",
        "refund_id": "/id",
        "lines": {"each": "/items/*", "id": "/id", "quantity": "/n"},
    }
    sold = mapped([sale, back], {"event": "sold", "id": 1, "net": 1_000, "items": [{"id": "a", "n": 3, "net": 1_000}]})
    one = mapped([sale, back], {"event": "back", "id": 2, "order": 1, "items": [{"id": "a", "n": 1}]})
    [refund] = one.reports[0].refunds
    assert (refund.line_based, refund.lines) == (True, (OrderLine("a"),))
    assert [each.amount_minor for each in folded(one, sold).effects] == [333]
    nothing = mapped([sale, back], {"event": "back", "id": 2, "order": 1, "items": []})
    assert nothing.rejected == "missing_value"
    assert "how much was given back is not said" in str(nothing.detail)


def test_an_order_may_have_several_lists_of_refunds_some_of_which_do_not_count() -> None:
    lists = [
        {"each": "/refunds/*", "refund_id": "/id", "gross": "/amount", "when": [{"at": "/state", "equals": "settled"}]},
        {"each": "/returns/*", "refund_id": "/id", "lines": {"each": "/items/*", "id": "/line"}, "updated_at": "/at"},
    ]
    body = {
        "id": 1, "at": "2026-11-22T10:00:00Z",
        "refunds": [{"id": "r1", "amount": 500, "state": "settled"}, {"id": "r2", "amount": 900, "state": "failed"}],
        "returns": [{"id": "b1", "items": [{"line": "a"}], "at": "2026-11-22T11:00:00Z"}],
    }  # fmt: skip
    paid_back, returned = order({"refunds": lists, "updated_at": "/at"}, body).refunds
    assert (paid_back.refund_id, paid_back.amount_minor, paid_back.is_gross) == ("r1", 500, True)
    assert (returned.refund_id, returned.lines, returned.line_based) == ("b1", (OrderLine("a"),), True)
    # Its own time of change, or else the message's.
    assert paid_back.version == version_at(datetime(2026, 11, 22, 10, tzinfo=UTC))
    assert returned.version == version_at(datetime(2026, 11, 22, 11, tzinfo=UTC))


def test_a_refund_s_total_without_its_tax_was_paid_back_with_tax() -> None:
    back = {"read": "refund", "order_id": "/order", "refund_id": "/id", "total": "/amount"}
    sale = mapped([SALE, back], {"event": "sold", "id": 1, "net": 9_000, "tax": 1_800})
    half = mapped([SALE, back], {"event": "back", "id": 2, "order": 1, "amount": 5_400})
    assert [each.amount_minor for each in folded(half, sale).effects] == [4_500]


def test_what_came_back_is_never_guessed_from_its_place_in_the_list() -> None:
    rule = {"read": "refund", "order_id": "/id", "refund_id": "/id", "lines": {"each": "/items/*", "id": "/line"}}
    parsed = mapped([rule], {"id": 1, "items": [{"line": "a"}, {"line": None}]})
    assert (parsed.rejected, parsed.reports) == ("missing_value", ())
    assert str(parsed.detail).startswith("id: in /items/* (2)")
    unnamed = mapped([{**rule, "lines": {"each": "/items/*"}}], {"id": 1, "items": [{"line": "a"}]})
    assert unnamed.rejected == "missing_value"


@pytest.mark.parametrize(
    ("field", "net"),
    [
        ({"at": "/total", "minus": ["/tax", "/shipping"]}, 4_500),
        ({"at": "/total", "plus": ["/back/*/amount"], "minus": ["/tax"]}, 5_600),
        ({"plus": ["/tax", "/shipping"]}, 1_500),
        ({"at": "/total", "minus": ["/nowhere"]}, 6_000),
        ({"at": "/tax", "minus": ["/total"], "negate": True}, 5_000),
    ],
)
def test_an_amount_may_be_a_sum_or_difference_of_places(field: dict[str, Any], net: int) -> None:
    body = {"id": 1, "total": 6_000, "tax": 1_000, "shipping": 500, "back": [{"amount": 200}, {"amount": 400}]}
    assert order({"net": field}, body).net_minor == net


def test_a_sum_whose_first_part_is_missing_is_not_known_and_no_smaller_amount() -> None:
    body = {"id": 1, "back": 400}
    assert order({"net": {"at": "/left", "plus": ["/back"]}}, body).net_minor is None
    assert order({"net": {"at": "/left", "const": 0, "plus": ["/back"]}}, body).net_minor == 400


def test_a_difference_below_zero_is_said_with_its_sum() -> None:
    rule = {"read": "order", "order_id": "/id", "net": {"at": "/total", "minus": ["/tax"]}}
    parsed = mapped([rule], {"id": 1, "total": 5, "tax": 7})
    assert parsed.detail == "net adds up to -2 (in minor units): an amount of 0 or more is expected"


def test_a_list_may_stand_at_the_root() -> None:
    [report] = mapped(
        [{"read": "order", "order_id": "/0/id", "codes": "/*/code"}], [{"id": 1, "code": "LEA10"}]
    ).reports
    assert (report.order_id, report.codes) == ("1", ("LEA10",))


def test_a_message_may_hold_several_orders_and_refunds() -> None:
    rules: list[dict[str, Any]] = [
        {"read": "ignored", "when": [{"at": "/event", "equals": "viewed"}]},
        SALE,
        {"read": "refund", "order_id": "/order", "refund_id": "body:/batch", "gross": "/amount"},
    ]
    events: list[dict[str, Any]] = [
        {"event": "viewed"},
        {"event": "sold", "id": 1, "net": 9_000, "tax": 1_800},
        {"order": 1, "amount": 5_400},
    ]
    parsed = mapped(rules, {"batch": "b7", "events": events}, each="/events/*")
    assert [effect.amount_minor for effect in folded(parsed).effects] == [4_500]
    assert parsed.reports[1].refunds[0].refund_id == "b7"
    assert mapped(rules, {"events": events[:1]}, each="/events/*").ignored == "ignored_by_rule"
    nothing = mapped(rules, {"events": []}, each="/events/*")
    assert (nothing.ignored, nothing.detail) == (
        "no_message",
        "each: nothing stands at /events/*: /events is an empty list",
    )
    # Half a message is not recorded.
    broken = mapped(rules, {"events": [*events, {"event": "sold"}]}, each="/events/*")
    assert (broken.rejected, broken.reports) == ("missing_value", ())
    assert mapped(rules, {"events": events * 34}, each="/events/*").rejected == "too_many"


def test_a_place_within_a_line_or_refund_may_begin_at_the_body() -> None:
    rule = {
        "lines": {"each": "/items/*", "id": "/id", "name": "body:/shop"},
        "refunds": {
            "each": "/back/*",
            "refund_id": ["/id", "body:/refund"],
            "net": "/net",
            "lines": {"each": "body:/items/*", "id": "/id"},
        },
    }
    report = order(rule, {"id": 1, "shop": "Lille", "refund": "r9", "items": [{"id": "a"}], "back": [{"net": 5}]})
    assert report.lines == (OrderLine("a", name="Lille"),)
    assert (report.refunds[0].refund_id, report.refunds[0].lines) == ("r9", (OrderLine("a"),))


def test_elements_may_be_chosen_by_one_of_several_words() -> None:
    data = [{"key": "ariane", "value": "a"}, {"key": "_ariane", "value": "b"}, {"key": "x|y", "value": "c"}]
    assert order({"codes": "/data/[key=ariane|_ariane]/value"}, {"id": 1, "data": data}).codes == ("a", "b")
    assert order({"codes": "/data/[key=x|y]/value"}, {"id": 1, "data": data}).codes == ("c",)


REFUNDS = {"each": "/r/*", "refund_id": "/id", "net": "/net"}


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ({"codes": {"at": "/a", "plus": ["/b"]}}, "rules.0.codes"),
        ({"net": {"at": "/a", "minus": ["b"]}}, "rules.0.net"),
        ({"gross": "/a"}, "rules.0.gross"),
        ({"refunds": [REFUNDS, {"each": "/r/*", "refund_id": "/id"}]}, "rules.0.refunds.1.net"),
        ({"refunds": {**REFUNDS, "when": [{"at": "/a"}]}}, "rules.0.refunds.when.0"),
        ({"refunds": [{**REFUNDS, "lines": {"each": "x"}}]}, "rules.0.refunds.0.lines.each"),
        ({"refunds": {**REFUNDS, "gross": "body:x"}}, "rules.0.refunds.gross"),
    ],
)
def test_what_means_nothing_is_named_by_its_place(rule: dict[str, Any], path: str) -> None:
    mapping = {"amounts": "minor", "rules": [{"read": "order", "order_id": "/id", **rule}]}
    assert [where for where, _ in faults(read_mapping(mapping))] == [path]


def test_a_place_that_names_the_customer_is_blotted_however_it_is_written() -> None:
    rule = {
        "read": "order", "order_id": "/id", "customer_email": "body:/buyer", "customer_id": "/who",
        "net": {"at": "/a", "plus": ["/b"]},
        "refunds": [{"each": "/back/*", "refund_id": "body:/n", "net": "/c", "when": [{"at": "/s", "present": True}], "lines": {"each": "/i/*", "id": "/l"}}],
    }  # fmt: skip
    settings = json.dumps({"mapping": {"amounts": "minor", "each": "/orders/*", "rules": [rule]}})
    personal_of = personal.of_source("generic", settings)
    # What the mapping reads stays readable: each place counted from the top of the body.
    assert set(personal_of.pointers) == {
        "/orders/*/id", "/orders/*/a", "/orders/*/b", "/n", "/orders/*/back/*/c", "/orders/*/back/*/s", "/orders/*/back/*/i/*/l",
    }  # fmt: skip
    body = {"buyer": "ann@shop.example", "n": 1, "orders": [{"id": 1, "who": "c-77", "a": 1, "b": 2, "back": []}]}
    assert personal_of.texts_at(body, {}) == {"1", "2"}
    key = lambda number, email: "k"  # noqa: E731
    blotted = personal_of.blotter.blot_json(body, key, lambda: personal_of.texts_at(body, {})).decode()
    assert "ann@shop.example" not in blotted
    assert "c-77" not in blotted


TRIAL = TrialOrder(
    number=7, currency="EUR", net_minor=5_000, refund_minor=2_000, ordered_at=NOW, refunded_at=NOW, test=True,
    code="LEA10", click_id=None, customer_email=None,
)  # fmt: skip


def test_a_trial_writes_a_message_of_several_with_a_gross_refund() -> None:
    refunds = {
        "each": "/back/*",
        "refund_id": "body:/n",
        "gross": "/amount",
        "when": [{"at": "/s", "equals": ["done"]}],
    }
    rules = [{**SALE, "test": "/test", "tax": "/tax", "currency": "/cur", "refunds": refunds}]
    mapping = {"amounts": "minor", "each": "/orders/*", "rules": rules}
    made = trial_messages(TRIAL, "secret", {"mapping": mapping})
    [refunded] = made.refund
    parsed = parse(refunded.body, {}, replace(CONTEXT, settings={"mapping": mapping}))
    assert [each.amount_minor for each in folded(parsed).effects] == [2_000]
