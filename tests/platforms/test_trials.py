"""Every platform's messages about a made-up order: signed as it signs, read as exactly the order that was planned."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.codes import normalise
from app.domain.orders import Context
from app.platforms.kit.platform import Platform
from app.platforms.kit.trial import TrialOrder, TrialRequest
from app.platforms.registry import PLATFORMS
from app.platforms.signing import verify

SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS1yZWhlYXJzYWw="
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CONTEXT = Context(received_at=NOW, currency="EUR", customer_key=lambda _, email: email)
NAMES = sorted(PLATFORMS)

plans = st.builds(
    TrialOrder,
    number=st.integers(1, 2**31 - 1),
    currency=st.sampled_from(["EUR", "USD", "JPY", "KWD"]),
    net_minor=st.integers(100, 10**9),
    refund_minor=st.integers(1, 100),
    ordered_at=st.just(NOW - timedelta(seconds=2)),
    refunded_at=st.just(NOW - timedelta(seconds=1)),
    code=st.none() | st.just("LEA10"),
    click_id=st.none() | st.just("clk_01k0000000000000000000000a"),
    customer_email=st.none() | st.just("lea@example.com"),
    test=st.booleans(),
)


def lowered(sent: TrialRequest) -> dict[str, str]:
    return {name.lower(): value for name, value in sent.headers.items()} | (
        {":query": sent.query} if sent.query else {}
    )


@pytest.mark.parametrize("platform", NAMES)
@given(plan=plans)
def test_a_trial_order_is_read_as_it_was_planned(platform: str, plan: TrialOrder) -> None:
    entry: Platform = PLATFORMS[platform]
    trial = entry.trial_messages(plan, SECRET, {})
    assert trial is not None
    parsed = [entry.parse(sent.body, lowered(sent), CONTEXT) for sent in (*trial.order, *trial.refund)]
    assert [each.rejected for each in parsed] == [None] * len(parsed), parsed
    reports = [report for each in parsed for report in each.reports]
    orders = [report for report in reports if not report.stub]
    assert {report.net_minor for report in orders} == {plan.net_minor}
    assert {report.currency for report in orders} == {plan.currency}
    assert all(report.test is plan.test for report in orders)
    assert all(trial.order_id in report.refs for report in reports)
    # WooCommerce writes codes in lower case; they are compared folded everywhere.
    assert {normalise(code) for report in orders for code in report.codes} == (
        {normalise(plan.code)} if plan.code else set()
    )
    assert {click for report in orders for click in report.click_ids} == ({plan.click_id} if plan.click_id else set())
    refunds = {refund.refund_id: refund for report in reports for refund in report.refunds}
    # An order that shows its state also says that it is not cancelled.
    taking = [refund for refund in refunds.values() if (refund.kind, refund.amount_minor) != ("cancellation", 0)]
    assert [(refund.kind, refund.amount_minor) for refund in taking] == [("refund", plan.refund_minor)]


@pytest.mark.parametrize("platform", NAMES)
@given(plan=plans)
def test_a_trial_order_is_signed_as_the_platform_signs(platform: str, plan: TrialOrder) -> None:
    trial = PLATFORMS[platform].trial_messages(plan, SECRET, {})
    assert trial is not None
    for sent in (*trial.order, *trial.refund):
        given = lowered(sent)
        assert verify(platform, body=sent.body, headers=given, secrets=[SECRET], now_s=NOW.timestamp()) is None
        wrong = verify(platform, body=sent.body, headers=given, secrets=["another"], now_s=NOW.timestamp())
        assert wrong in {"wrong_signature", "wrong_token"}
