"""Stripe's events, as its documentation has them: what each says of an order, over Stripe's own fixtures (demo/simulator/documents)."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.money import exponent
from app.domain.orders import Customer, OrderReport, RefundReport
from app.platforms.registry import platform_of
from app.platforms.stripe.amounts import THREE_DECIMAL, ZERO_DECIMAL, stripe_exponent, to_iso, to_stripe
from app.platforms.stripe.webhook import READERS, parse
from demo.simulator.messages import Json, document
from demo.simulator.stripe import COMPLETED_S, charge_refunded, dispute, event, intent, invoice, refund, session, totals
from tests.platforms.stripe_life import CONTEXT, PROMO, folded, money, read, said

CLICK = "clk_01k80kd5n3eq1azk8cw3y4vw17"
NOON = datetime.fromtimestamp(COMPLETED_S, UTC)


# ── checkout.session.completed ───────────────────────────────────────────────────────────────────────────────────────


def test_the_sample_session_is_one_paid_order_in_test_mode() -> None:
    parsed = read(document("stripe_event_checkout_session_completed.json"))
    assert (parsed.topic, parsed.external_id) == ("checkout.session.completed", "evt_1")
    [report] = parsed.reports
    session_id = "cs_test_a1YS1URlnyQCN5fUUduORoQ7Pw41PJqDWkIVQCpJPqkfIhd6tVY8XB1OLY"
    assert report == OrderReport(
        shop="main",
        kind="sale",
        refs=(session_id, "pi_123"),
        order_id=session_id,
        occurred_at=NOON,
        version=3,
        currency="EUR",
        # 49.99 paid, of which 9.99 tax: 50.00 less 10.00.
        items_minor=5000,
        discount_minor=1000,
        tax_minor=999,
        shipping_minor=0,
        net_minor=4000,
        total_minor=4999,
        paid=True,
        code_ids=(PROMO,),
        click_ids=("clk_9fK2",),
        customer=Customer("cus_123/example@example.com"),
        test=True,
        proofs=(session_id,),
        lists_codes=True,
    )


@pytest.mark.parametrize(
    ("payment_status", "paid", "status"),
    [("paid", True, "approved"), ("no_payment_required", True, "approved"), ("unpaid", False, "pending")],
)
def test_it_counts_once_it_is_paid(payment_status: str, paid: bool, status: str) -> None:
    completed = session(payment_status=payment_status)
    assert said(completed).paid is paid
    assert folded(completed).status == status


def test_live_mode_is_no_test() -> None:
    assert said(session()).test is False
    assert said(session() | {"livemode": False}).test is True


def test_tax_within_prices_and_within_shipping_is_taken_off_once() -> None:
    # 12.00 with 2.00 tax, shipping 6.00 with 1.00 tax, both inclusive: 10.00 net and 5.00 shipping.
    paid = session(
        amount_subtotal=1200,
        amount_total=1800,
        total_details=totals(tax=300, shipping=600),
        shipping_cost={"amount_subtotal": 600, "amount_tax": 100, "amount_total": 600},
    )
    assert money(said(paid)) == ("EUR", 1000, 300, 500, 1800)
    # The same with tax on top.
    on_top = session(
        amount_subtotal=1000,
        amount_total=1800,
        total_details=totals(tax=300, shipping=500),
        shipping_cost={"amount_subtotal": 500, "amount_tax": 100, "amount_total": 600},
    )
    assert money(said(on_top)) == ("EUR", 1000, 300, 500, 1800)


def test_a_discount_on_prices_with_tax_is_shown_without_its_share_of_tax() -> None:
    # 120.00 with tax, a quarter off: 90.00, of which 15.00 tax.
    report = said(session(amount_subtotal=12_000, amount_total=9_000, total_details=totals(3_000, 1_500)))
    assert (report.items_minor, report.discount_minor, report.net_minor) == (10_000, 2_500, 7_500)
    free = said(session(amount_subtotal=5_000, amount_total=0, total_details=totals(5_000)))
    assert (free.items_minor, free.discount_minor, free.net_minor) == (5_000, 5_000, 0)


def test_a_session_without_its_totals_in_detail_is_an_estimate() -> None:
    report = said(session(total_details=None))
    assert (report.net_minor, report.estimated) == (4999, True)


def test_stripes_bare_fixture_has_no_amounts_and_is_an_order_all_the_same() -> None:
    thing = document("stripe_fixture_checkout_session.json") | {"payment_status": "paid"}
    report = said(event("checkout.session.completed", thing))
    assert money(report) == (None, None, None, None, None)


def test_a_session_that_sells_nothing_is_ignored() -> None:
    assert read(session(mode="setup")).ignored == "setup_mode"
    assert read(session("expired", payment_status="unpaid")).ignored == "checkout_abandoned"


# ── checkout.session.async_payment_succeeded, .async_payment_failed ──────────────────────────────────────────────────


def test_a_delayed_payment_approves_the_order_when_it_arrives_and_leaves_its_time() -> None:
    completed = session(payment_status="unpaid")
    arrived = session("async_payment_succeeded") | {"created": COMPLETED_S + 86_400}
    for order in (folded(completed, arrived), folded(arrived, completed)):
        assert (order.status, order.occurred_at, order.net_minor) == ("approved", NOON, 4000)


def test_a_delayed_payment_that_fails_leaves_an_order_of_nothing() -> None:
    completed = session(payment_status="unpaid")
    failed = session("async_payment_failed", payment_status="unpaid") | {"created": COMPLETED_S + 86_400}
    for order in (folded(completed, failed), folded(failed, completed, failed)):
        assert (order.status, order.net_minor, order.refunded_minor) == ("rejected", 4000, 4000)
        assert [effect.kind for effect in order.effects] == ["cancellation"]


# ── Who bought through whom: click ids, codes, visitors ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "reference",
    [CLICK, CLICK.removeprefix("clk_"), f"dub_id_{CLICK}", f"ariane_{CLICK}", f"via_{CLICK}", "019a0137-1543-7b82-a4bf-4c8e3c8edfb7"],
)  # fmt: skip
def test_a_click_is_found_in_client_reference_id(reference: str) -> None:
    [named] = said(session(client_reference_id=reference), replace(CONTEXT, click_param="via")).click_ids
    assert named in (CLICK, reference, reference.partition("_")[2])
    assert not named.startswith(("dub", "ariane", "via"))


@pytest.mark.parametrize("reference", ["user_42", "cart-1001", "dub_id_", "", None, "01k80kd5n3eq"])
def test_what_else_shops_put_there_is_no_click(reference: str | None) -> None:
    assert said(session(client_reference_id=reference)).click_ids == ()


def test_metadata_carries_clicks_codes_visitors_and_the_shops_own_number() -> None:
    metadata = {
        "click_id": CLICK,
        "via": "clk_2",
        "codes": "LEA10, MAX5",
        "promo_code": "ZOE",
        "visitor_id": "v1",
        "order_id": "#1001",
    }
    report = said(session(metadata=metadata, client_reference_id="clk_3"), replace(CONTEXT, click_param="via"))
    assert report.click_ids == (CLICK, "clk_2", "clk_3")
    assert report.codes == ("LEA10", "MAX5", "ZOE")
    assert report.visitor_id == "v1"
    assert report.order_id == "1001"
    assert "1001" in report.refs


EXPANDED = {"object": "promotion_code", "id": "promo_2", "code": "FALL20"}


@pytest.mark.parametrize(
    ("discount", "codes", "code_ids"),
    [
        # An id alone, as webhooks have it.
        ({"coupon": None, "promotion_code": "promo_2"}, (), ("promo_2",)),
        # Expanded, before 2025-09-30 and since.
        ({"promotion_code": EXPANDED | {"coupon": document("stripe_fixture_coupon.json")}}, ("FALL20",), ("promo_2",)),
        ({"promotion_code": EXPANDED | {"promotion": {"type": "coupon", "coupon": "Z4OV52SU"}}}, ("FALL20",), ("promo_2",)),
        # A discount of the session, a discount object before and since; without a promotion code the coupon stands for it.
        ({"coupon": "Z4OV52SU", "promotion_code": None}, (), ("Z4OV52SU",)),
        (document("stripe_fixture_discount.json") | {"coupon": document("stripe_fixture_coupon.json"), "source": None}, (), ("Z4OV52SU",)),
        (document("stripe_fixture_discount.json") | {"source": {"coupon": "Z4OV52SU", "type": "coupon"}}, (), ("Z4OV52SU",)),
        (document("stripe_fixture_discount.json") | {"source": {"coupon": "Z4OV52SU", "type": "coupon"}, "promotion_code": "promo_2"}, (), ("promo_2",)),
        # An id of a discount says nothing.
        ("di_1Pgc6rB7WZ01zgkW7Al8Fal9", (), ()),
    ],
)  # fmt: skip
def test_codes_are_read_in_every_shape_a_discount_has_had(
    discount: Any, codes: tuple[str, ...], code_ids: tuple[str, ...]
) -> None:
    for body in (
        session(discounts=[discount]),
        session(
            discounts=None, total_details=totals() | {"breakdown": {"discounts": [{"amount": 1, "discount": discount}]}}
        ),
        session(discounts=[discount], discount=discount),
        invoice(discounts=[discount]),
        invoice(total_discount_amounts=[{"amount": 1, "discount": discount}]),
    ):
        report = said(body)
        assert (report.codes, report.code_ids) == (codes, code_ids)


def test_ids_of_codes_keep_their_capitals() -> None:
    both = [{"promotion_code": "promo_1Pgc"}, {"promotion_code": "promo_1pgC"}]
    assert said(session(discounts=both)).code_ids == ("promo_1Pgc", "promo_1pgC")


# ── invoice.paid ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_invoice_of_a_subscription_is_its_session_s_order() -> None:
    bought = session(
        mode="subscription", payment_intent=None, invoice="in_1", subscription="sub_1", metadata={"click_id": CLICK}
    )
    first = invoice(
        id="in_1", billing_reason="subscription_create", currency="eur", total=4999, total_excluding_tax=4000
    )
    assert set(said(bought).refs) & set(said(first).refs) == {"in_1"}
    order = folded(first, bought)
    assert (order.order_id, order.net_minor, order.status) == (said(bought).order_id, 4000, "approved")


@pytest.mark.parametrize(
    "subscribed",
    [
        {"parent": {"type": "subscription_details", "subscription_details": {"subscription": "sub_1", "metadata": {"click_id": CLICK}}}},
        {"parent": None, "subscription": "sub_1", "subscription_details": {"metadata": {"click_id": CLICK}}},
    ],
)  # fmt: skip
def test_each_renewal_is_an_order_of_its_own_with_the_subscriptions_metadata(subscribed: Json) -> None:
    paid_at = {"status_transitions": {"paid_at": COMPLETED_S + 60}}
    renewals = [
        said(invoice(id=f"in_{number}", billing_reason="subscription_cycle", **paid_at, **subscribed))
        for number in (2, 3)
    ]
    assert not set(renewals[0].refs) & set(renewals[1].refs)
    assert [report.click_ids for report in renewals] == [(CLICK,), (CLICK,)]
    assert renewals[0].occurred_at == datetime.fromtimestamp(COMPLETED_S + 60, UTC)
    assert renewals[0].paid is True
    assert money(renewals[0]) == ("USD", 1000, 0, 0, 1000)


@pytest.mark.parametrize(
    ("reason", "origin"),
    [
        ("subscription_create", "first"),
        ("subscription_cycle", "renewal"),
        ("subscription_update", "renewal"),
        ("subscription_threshold", "renewal"),
        ("subscription", None),
        ("manual", None),
        ("quote_accept", None),
        ("upcoming", None),
        (None, None),
        (["subscription_cycle"], None),
    ],
)
def test_the_billing_reason_says_whether_an_invoice_began_its_subscription(reason: Any, origin: str | None) -> None:
    assert said(invoice(billing_reason=reason)).origin == origin


def test_a_session_that_sells_a_subscription_is_its_first_order() -> None:
    assert said(session(mode="subscription", payment_intent=None, invoice="in_1")).origin == "first"
    assert said(session()).origin is None


def test_a_number_in_the_subscriptions_metadata_does_not_make_one_order_of_all_renewals() -> None:
    subscribed = {"subscription_details": {"metadata": {"order_id": "1001"}}}
    assert "1001" not in said(invoice(parent=subscribed)).refs
    assert "1001" in said(invoice(metadata={"order_id": "1001"})).refs


@pytest.mark.parametrize(
    "taxes",
    [
        {"total_excluding_tax": 800},
        {"total_excluding_tax": None, "total_taxes": [{"amount": 150, "tax_behavior": "inclusive"}, {"amount": 50}]},
        {"total_excluding_tax": None, "total_taxes": None, "total_tax_amounts": [{"amount": 200, "inclusive": False}]},
        {"total_excluding_tax": None, "total_taxes": None, "tax": 200},
    ],
)
def test_tax_of_an_invoice_is_read_in_every_shape_it_has_had(taxes: Json) -> None:
    report = said(invoice(amount_shipping=100, **taxes))
    assert (report.net_minor, report.tax_minor, report.estimated) == (700, 200, False)


def test_an_invoice_that_does_not_speak_of_tax_is_an_estimate() -> None:
    report = said(invoice(total_excluding_tax=None, total_taxes=None))
    assert (report.net_minor, report.tax_minor, report.estimated) == (1000, None, True)


def test_a_credit_is_no_order() -> None:
    assert read(invoice(total=-500)).ignored == "credit_invoice"


def test_an_invoice_names_its_payment_in_every_shape_and_else_another_event_does() -> None:
    old = said(invoice(id="in_1", payment_intent="pi_1", charge="ch_1"))
    assert set(old.refs) == {"in_1", "pi_1", "ch_1"}
    listed = {"data": [{"payment": {"type": "payment_intent", "payment_intent": "pi_1"}}]}
    assert set(said(invoice(id="in_1", payments=listed)).refs) == {"in_1", "pi_1"}
    joined = said(
        event(
            "invoice_payment.paid", {"invoice": "in_1", "payment": {"type": "payment_intent", "payment_intent": "pi_1"}}
        )
    )
    assert (set(joined.refs), joined.stub, joined.refunds) == ({"in_1", "pi_1"}, True, ())
    outside = event(
        "invoice_payment.paid", {"invoice": "in_1", "payment": {"type": "payment_record", "payment_record": "pr_1"}}
    )
    assert read(outside).ignored == "nothing_to_join"


# ── payment_intent.succeeded ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_payment_is_an_order_only_if_its_metadata_says_through_whom() -> None:
    assert read(intent()).ignored == "no_code_or_click"
    assert read(intent(metadata={"order_id": "1001"})).ignored == "no_code_or_click"
    report = said(intent(metadata={"code": "LEA10", "order_id": "1001"}, latest_charge="ch_1"))
    assert (report.codes, report.paid, report.order_id) == (("LEA10",), True, "1001")
    assert set(report.refs) == {"pi_1PgafyB7WZ01zgkWSjxsAJo3", "ch_1", "1001"}
    assert (money(report), report.estimated) == (("USD", 1099, None, None, 1099), True)


def test_a_payment_with_amount_details_is_no_estimate() -> None:
    details = {"tip": {}, "tax": {"total_tax_amount": 99}, "shipping": {"amount": 200}}
    report = said(intent(metadata={"click_id": CLICK}, amount_details=details))
    assert (money(report), report.estimated) == (("USD", 800, 99, 200, 1099), False)


def test_the_session_knows_better_than_its_payment_whichever_comes_first() -> None:
    paid = intent(id="pi_123", currency="eur", amount_received=4999, metadata={"click_id": CLICK})
    for order in (folded(paid, session()), folded(session(), paid)):
        assert (order.net_minor, order.flags, tuple(order.signals.click_ids)) == (4000, (), (CLICK,))


# ── charge.refunded, refund.created, refund.updated, refund.failed ───────────────────────────────────────────────────


def test_the_sample_refund_takes_its_share_of_the_net() -> None:
    report = said(document("stripe_event_charge_refunded_partial.json"))
    assert report.stub
    assert report.refs == ("pi_123", "ch_1PgafuB7WZ01zgkWXYmPNZs8")
    order = folded(session(), document("stripe_event_charge_refunded_partial.json"))
    # 20.00 of 49.99 paid, brought to the base of 40.00.
    assert (order.net_minor, order.refunded_minor) == (4000, 1600)


def test_sums_on_the_charge_are_never_added_up() -> None:
    order = folded(
        session(), charge_refunded(1000), charge_refunded(3000), charge_refunded(3000), charge_refunded(1000)
    )
    assert order.refunded_minor == (2 * 3000 * 4000 + 4999) // (2 * 4999)
    assert folded(session(), charge_refunded(4999)).refunded_minor == 4000


def test_a_refund_and_the_charges_sum_count_once() -> None:
    made, so_far = refund("re_1", 2000), charge_refunded(2000)
    for heard in ((made,), (so_far,), (made, so_far), (so_far, made), (so_far, refund("re_1", 2000, "refund.updated"))):
        assert folded(session(), *heard).refunded_minor == 1600


def test_before_2022_11_15_the_charge_lists_its_refunds() -> None:
    listed = {"data": [refund("re_1", 500)["data"]["object"], refund("re_2", 1500)["data"]["object"]], "object": "list"}
    report = said(charge_refunded(2000, refunds=listed))
    assert [(back.refund_id, back.cumulative) for back in report.refunds] == [
        ("re_1", False),
        ("re_2", False),
        ("pi_123", True),
    ]
    assert folded(session(), charge_refunded(2000, refunds=listed)).refunded_minor == 1600


@pytest.mark.parametrize("status", ["failed", "canceled"])
@pytest.mark.parametrize("kind", ["refund.failed", "refund.updated", "charge.refund.updated"])
def test_a_refund_that_failed_took_nothing_whatever_else_was_heard_of_it(kind: str, status: str) -> None:
    failed = refund("re_1", 2000, kind, status=status)
    for others in (
        (),
        (refund("re_1", 2000),),
        (charge_refunded(2000),),
        (charge_refunded(2000), refund("re_1", 2000)),
    ):
        for heard in ((failed, *others), (*others, failed)):
            assert folded(session(), *heard).refunded_minor == 0


def test_a_refund_on_its_way_counts() -> None:
    assert folded(session(), refund("re_1", 2000, status="pending")).refunded_minor == 1600


def test_a_refund_is_dated_when_it_was_made() -> None:
    assert folded(session(), refund("re_1", 1, at_s=COMPLETED_S + 7)).effects[0].occurred_at == datetime.fromtimestamp(
        COMPLETED_S + 7, UTC
    )


def test_a_charge_that_gave_nothing_back_is_ignored() -> None:
    assert read(charge_refunded(0)).ignored == "nothing_refunded"


# ── charge.dispute.* ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_dispute_takes_the_order_when_opened_and_keeps_it_when_lost() -> None:
    opened, lost = dispute("needs_response", "created"), dispute("lost")
    for heard in ((opened,), (opened, lost), (lost, opened)):
        order = folded(session(), *heard)
        assert order.refunded_minor == 4000
        assert [(effect.kind, effect.refund_id) for effect in order.effects] == [("chargeback", "dp_1")]


def test_a_dispute_that_was_won_never_was() -> None:
    opened, back, won = dispute("needs_response", "created"), dispute("won", "funds_reinstated"), dispute("won")
    for heard in ((won,), (opened, won), (won, opened), (back, opened, won)):
        order = folded(session(), *heard)
        assert (order.refunded_minor, order.effects) == (0, ())


@pytest.mark.parametrize("status", ["warning_needs_response", "warning_under_review", "warning_closed", "prevented"])
def test_an_inquiry_moves_no_money(status: str) -> None:
    assert read(dispute(status, "created")).ignored == "dispute_inquiry"


def test_a_dispute_of_what_was_refunded_already_is_cut_to_what_is_left() -> None:
    order = folded(session(), refund("re_1", 2000), dispute("lost"))
    assert (order.refunded_minor, order.flags) == (4000, ("refund_over_order",))


# ── Amounts ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("currency", "amount", "minor"),
    [
        ("EUR", 4999, 4999),
        ("JPY", 500, 500),
        ("ISK", 500, 5),
        ("UGX", 500, 5),
        ("KWD", 5120, 5120),
        ("MGA", 500, 50_000),
        ("HUF", 1000, 1000),
        ("TWD", 800, 800),
        # A fraction of a króna, such as the tax on an invoice.
        ("ISK", 1_250, 13),
    ],
)  # fmt: skip
def test_stripes_units_are_not_always_isos(currency: str, amount: int, minor: int) -> None:
    assert to_iso(amount, currency) == minor
    thing = session(currency=currency.lower(), amount_subtotal=amount, amount_total=amount, total_details=totals())
    assert money(said(thing)) == (currency, minor, 0, 0, minor)


def test_the_two_tables_differ_where_stripe_says_so_and_nowhere_else() -> None:
    known = sorted(ZERO_DECIMAL | THREE_DECIMAL | {"EUR", "USD", "ISK", "UGX", "HUF", "TWD", "IDR", "COP"})
    assert [each for each in known if stripe_exponent(each) != exponent(each)] == ["ISK", "MGA", "UGX"]


@given(st.sampled_from(["EUR", "JPY", "ISK", "UGX", "KWD"]), st.integers(0, 10**9))
def test_what_is_sent_is_what_is_read(currency: str, minor: int) -> None:
    assert to_iso(to_stripe(minor, currency), currency) == minor


def test_adaptive_pricing_since_2025_is_in_the_shops_currency_and_notes_the_shoppers() -> None:
    parsed = read(session(presentment_details={"presentment_amount": 5433, "presentment_currency": "usd"}))
    assert parsed.notes == ("presentment usd 5433",)
    assert money(parsed.reports[0]) == ("EUR", 4000, 999, 0, 4999)


def test_adaptive_pricing_before_2025_is_brought_back_to_the_shops_currency() -> None:
    conversion = {"amount_subtotal": 5000, "amount_total": 4999, "fx_rate": "1.5", "source_currency": "eur"}
    bought = session(
        currency="usd",
        amount_subtotal=7_500,
        amount_total=7_499,
        total_details=totals(1_500, 1_499),
        currency_conversion=conversion,
    )
    report = said(bought)
    assert (report.currency, report.net_minor, report.tax_minor, report.shipping_minor) == ("EUR", 4000, 999, 0)
    assert (report.items_minor, report.discount_minor) == (5000, 1000)
    # It is paid back in dollars.
    assert folded(bought, refund("re_1", 7_499, currency="usd")).refunded_minor == 4000
    half = folded(bought, refund("re_1", 3_750, currency="usd"))
    assert (half.refunded_minor, half.flags) == (2000, ())


@pytest.mark.parametrize("amount", [-1, 4.5, "4999", True, 10**30])
def test_an_amount_that_is_none_is_refused_by_name(amount: Any) -> None:
    parsed = read(session(amount_total=amount))
    assert parsed.rejected == "invalid_amount"
    assert "amount_total" in (parsed.detail or "")


# ── Events ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_headers_say_neither_topic_nor_id() -> None:
    headers = {"stripe-signature": "t=1,v1=00", "content-type": "application/json"}
    assert platform_of("stripe").identify(headers) == ("", "")


def test_types_it_does_not_know_are_ignored() -> None:
    parsed = read(document("stripe_fixture_event.json"))
    assert (parsed.topic, parsed.ignored) == ("plan.created", "unknown_topic")


def test_two_events_of_one_change_say_the_same() -> None:
    for kind in (
        session(),
        refund("re_1", 2000),
        dispute("lost"),
        invoice(status_transitions={"paid_at": COMPLETED_S}),
    ):
        twice = kind | {"id": "evt_other", "pending_webhooks": 7}
        assert read(kind).reports == read(twice).reports


def test_a_change_told_by_two_events_of_two_seconds_is_counted_once() -> None:
    order = folded(session(), charge_refunded(2000), charge_refunded(2000, at_s=COMPLETED_S + 901))
    assert order == folded(session(), charge_refunded(2000))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"payload=1", "not_json"),
        (b"[]", "not_an_event"),
        (b"{}", "not_an_event"),
        (json.dumps(document("stripe_fixture_charge.json")).encode(), "not_an_event"),
        (b'{"object": "event", "type": "charge.refunded", "data": {}}', "not_an_event"),
        (b'{"object": "v2.core.event", "type": "charge.refunded", "related_object": {}}', "thin_event"),
        (json.dumps(event("charge.refunded", {"amount_refunded": 5, "currency": "eur"})).encode(), "not_an_order"),
        (json.dumps(event("refund.created", {"id": "re_1", "charge": "ch_1"})).encode(), "not_an_order"),
        (json.dumps(event("checkout.session.completed", {"currency": "eur"})).encode(), "not_an_order"),
        (json.dumps(session(currency="euro")).encode(), "unknown_currency"),
        (json.dumps(dispute("sleeping")).encode(), "unknown_status"),
    ],
)
def test_what_cannot_be_read_is_rejected_with_a_reason(body: bytes, reason: str) -> None:
    parsed = parse(body, {}, CONTEXT)
    assert (parsed.rejected, parsed.reports) == (reason, ())
    assert parsed.detail


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.text(max_size=8) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
FIXTURES = [
    session(),
    invoice(),
    intent(metadata={"code": "A"}),
    charge_refunded(5),
    refund("re_1", 5),
    dispute("lost"),
]


@given(st.sampled_from(sorted(READERS)), st.sampled_from(FIXTURES), st.data())
def test_nothing_ever_raises(kind: str, fixture: Json, data: st.DataObject) -> None:
    thing = fixture["data"]["object"]
    names = data.draw(st.lists(st.sampled_from(sorted(thing)), max_size=5))
    parsed = read(event(kind, thing | {name: data.draw(junk) for name in names}))
    assert [bool(parsed.reports), parsed.ignored is not None, parsed.rejected is not None].count(True) == 1


@given(st.sampled_from(FIXTURES))
def test_no_report_says_anything_that_could_not_be_kept(fixture: Json) -> None:
    for report in read(fixture).reports:
        assert report.refs
        assert all(
            isinstance(back, RefundReport) and (back.amount_minor is None or back.amount_minor >= 0)
            for back in report.refunds
        )
