"""Every table is read: it must be whole, say nothing two ways, and read back what its own template says."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest

from app.domain.orders import Context
from app.platforms.kit.trial import TrialOrder
from app.platforms.postback.parameters import is_unfilled
from app.platforms.postback.presets import (
    APPROVED,
    DEFAULT,
    EVENTS,
    FIELDS,
    PENDING,
    PRESETS,
    REJECTED,
    STATUSES,
    Preset,
)
from app.platforms.postback.signature import TOKENS
from app.platforms.postback.trial import trial_messages
from app.platforms.postback.webhook import parse
from app.platforms.signing import verify

EACH = pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS.keys())
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FILLED = {
    "click_id": "clk_01k0000000000000000000000a",
    "order_id": "A-1001",
    "amount": "49.90",
    "currency": "USD",
    "code": "LEA10",
    "token": "a-secret-of-ours",
}


def context(name: str) -> Context:
    return Context(
        received_at=NOW, currency="EUR", customer_key=lambda number, email: email or number, settings={"preset": name}
    )


def test_the_default_is_one_of_them_and_names_are_words() -> None:
    assert DEFAULT in PRESETS
    assert all(name.isascii() and name.isalnum() and name == name.lower() for name in PRESETS)


@EACH
def test_a_table_names_what_an_order_needs_and_only_fields_there_are(preset: Preset) -> None:
    assert set(preset.names) <= set(FIELDS)
    assert {"click_id", "order_id", "amount", "currency", "code", "event", "status", "test", "refund_id"} <= set(
        preset.names
    )
    assert all(names for names in preset.names.values())
    assert preset.title


@EACH
def test_no_name_means_two_things(preset: Preset) -> None:
    names = [name for each in preset.names.values() for name in each]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
    assert names == [name.lower() for name in names], "names are compared in lower case"
    assert not TOKENS & set(names), "a token is taken out before the message is read"


def test_the_words_of_networks_lead_to_states_and_kinds_there_are() -> None:
    assert set(STATUSES.values()) == {APPROVED, PENDING, REJECTED}
    assert all(word == word.lower() for word in (*STATUSES, *EVENTS))


@EACH
def test_its_template_says_one_parameter_for_each_word_and_a_token_we_take_out(preset: Preset) -> None:
    pairs = parse_qsl(preset.template, strict_parsing=True)
    words = [value for _, value in pairs if not value.startswith("DEFAULT:")]
    assert sorted(words) == sorted(f"{{{word}}}" for word in FILLED)
    assert preset.token in TOKENS
    known = {name for names in preset.names.values() for name in names}
    assert {name for name, _ in pairs} <= known | {preset.token}


@pytest.mark.parametrize("name", PRESETS)
def test_its_template_reads_back_what_is_put_into_it(name: str) -> None:
    query = PRESETS[name].template.format(**FILLED)
    [report] = parse(b"", {":query": query}, context(name)).reports
    assert (report.kind, report.order_id, report.click_ids, report.codes) == (
        "sale",
        FILLED["order_id"],
        (FILLED["click_id"],),
        ("LEA10",),
    )
    assert (report.net_minor, report.currency, report.estimated) == (4_990, "USD", False)


@pytest.mark.parametrize("name", PRESETS)
def test_its_template_pasted_as_it_stands_is_refused(name: str) -> None:
    assert all(is_unfilled(value) for _, value in parse_qsl(PRESETS[name].template) if not value.startswith("DEFAULT"))
    assert parse(b"", {":query": PRESETS[name].template}, context(name)).rejected == "unresolved_macro"


def test_a_transaction_is_a_click_here_and_an_order_nowhere() -> None:
    """GA4 calls its order so; who sends that to a preset that does not know the name must not have it guessed."""
    meant = {
        name: [field for field, names in each.names.items() if "transaction_id" in names]
        for name, each in PRESETS.items()
    }
    assert meant["everflow"] == meant["tune"] == ["click_id"]
    assert all(not fields for name, fields in meant.items() if name not in ("everflow", "tune"))


def test_exactly_those_demand_a_token_whose_networks_have_one() -> None:
    demanding = {name for name, each in PRESETS.items() if each.demands_token}
    assert demanding == {name for name, each in PRESETS.items() if each.token != "token"} == {"everflow", "tune"}


@pytest.mark.parametrize("secret", ["", "a-secret-of-ours"])
@pytest.mark.parametrize("name", PRESETS)
def test_it_can_be_tried(name: str, secret: str) -> None:
    plan = TrialOrder(
        7,
        "KWD",
        12_345,
        1_001,
        NOW - timedelta(seconds=2),
        NOW - timedelta(seconds=1),
        code="LEA10",
        click_id=FILLED["click_id"],
        customer_email="lea@example.com",
    )
    trial = trial_messages(plan, secret, {"preset": name})
    [ordered], [refunded] = trial.order, trial.refund
    for sent in (ordered, refunded):
        assert (sent.method, sent.body) == ("GET", b"")
        given = {":query": sent.query}
        assert verify("postback", body=b"", headers=given, secrets=[secret] * bool(secret), now_s=0) is None
    [order] = parse(b"", {":query": ordered.query}, context(name)).reports
    [refund] = parse(b"", {":query": refunded.query}, context(name)).reports
    assert order.refs == refund.refs == (trial.order_id,)
    assert (order.net_minor, order.currency, order.test, order.customer.key) == (12_345, "KWD", True, "lea@example.com")
    assert (order.occurred_at, order.codes, order.click_ids) == (plan.ordered_at, ("LEA10",), (plan.click_id,))
    assert [each.amount_minor for each in refund.refunds] == [1_001]
