"""Shopware 6, a preset of the generic source. Its webhooks: https://developer.shopware.com/docs/guides/plugins/apps/webhook.html

Goal: what the app on docs/connect/shopware.md subscribes to is the order as the shop sees it, in gross and in net shops, and the app's registration gives
Shopware the proof that it asks for, and the secret of the source.
"""

import hashlib
import hmac
import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest

from app.domain.orders import Context, OrderReport, Parsed, version_at
from app.platforms.generic.webhook import parse
from app.platforms.presets import PRESETS
from app.platforms.signing import verify
from demo.simulator import DOCUMENTS

SENT = json.loads((DOCUMENTS / "shopware_order_paid.json").read_bytes())
PAGE = (Path(__file__).parents[2] / "docs" / "connect" / "shopware.md").read_text()
ID = "0193a5c2d1e07f3a8b4c5d6e7f8091a2"
PRESET = {"preset": "shopware"}
CONTEXT = Context(
    received_at=datetime(2026, 11, 25, tzinfo=UTC),
    currency="USD",
    customer_key=lambda number, email: f"{number}/{email}",
    settings=PRESET,
)
PAID = "state_enter.order_transaction.state.paid"
NET = {
    "taxStatus": "net",
    "amountTotal": 113.88,
    "shippingCosts": {"totalPrice": 4.9, "calculatedTaxes": [{"tax": 0.98, "taxRate": 20.0, "price": 4.9}]},
}
TAX_FREE = {
    "taxStatus": "tax-free",
    "amountTotal": 94.9,
    "price": {"calculatedTaxes": []},
    "shippingCosts": {"totalPrice": 4.9, "calculatedTaxes": []},
}


def message(event: str = PAID, at: int = 1_795_284_029, **fields: Any) -> bytes:
    order = {**SENT["data"]["payload"]["order"], **fields}
    return json.dumps({**SENT, "data": {"payload": {"order": order}, "event": event}, "timestamp": at}).encode()


def state(name: str) -> dict[str, str]:
    return {"technicalName": name}


def read(body: bytes) -> Parsed:
    return parse(body, {"content-type": "application/json"}, CONTEXT)


def order_of(body: bytes) -> OrderReport:
    parsed = read(body)
    assert parsed.rejected is None, parsed
    [order] = parsed.reports
    return order


# ── Orders ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_order_of_a_gross_shop_is_its_total_without_tax_and_shipping() -> None:
    parsed = read(message())
    assert parsed.topic == PAID
    order = order_of(message())
    assert (order.order_id, order.refs, order.proofs, order.system) == (ID, (ID, "10042"), (ID,), "shopware")
    # 108.00 of goods with 18.00 of tax in it, 5.88 of shipping with 0.98 in it.
    assert (order.currency, order.net_minor, order.tax_minor, order.shipping_minor) == ("EUR", 9_000, 1_898, 490)
    assert (order.paid, order.test, order.estimated) == (True, False, False)
    assert order.occurred_at == datetime(2026, 11, 21, 18, 0, 27, 877_000, tzinfo=UTC)
    assert order.version == version_at(datetime(2026, 11, 21, 18, 0, 29, tzinfo=UTC))
    assert (order.codes, order.lists_codes) == (("LEA10",), True)
    assert order.click_ids == ("clk_01kaz8h0000000000000000000",)
    assert order.customer.key == "0193a5b0c1d27e3f8a9b0c1d2e3f4a5b/bob@example.com"
    assert [(each.sku, each.name, each.quantity) for each in order.lines] == [("SERUM-30", "Serum", 2)]


@pytest.mark.parametrize(("shop", "tax"), [(NET, 1_898), (TAX_FREE, 0)])
def test_so_is_an_order_of_a_net_and_of_a_tax_free_shop(shop: dict[str, Any], tax: int) -> None:
    order = order_of(message(**shop))
    assert (order.net_minor, order.tax_minor, order.shipping_minor, order.estimated) == (9_000, tax, 490, False)


@pytest.mark.parametrize("shop", [{}, NET, TAX_FREE])
def test_a_placed_order_says_nothing_of_being_paid(shop: dict[str, Any]) -> None:
    order = order_of(message("checkout.order.placed", **shop))
    assert (order.paid, order.net_minor) == (None, 9_000)


@pytest.mark.parametrize(
    ("states", "paid"),
    [(["open"], False), (["failed", "paid"], True), (["refunded_partially"], True), (["authorized"], False)],
)
def test_an_order_is_paid_when_one_of_its_payments_is(states: list[str], paid: bool) -> None:
    payments = [{"stateMachineState": state(name)} for name in states]
    assert order_of(message("state_enter.order.state.in_progress", transactions=payments)).paid is paid


def test_the_click_may_come_in_the_campaign_code() -> None:
    assert order_of(message(customFields=None, campaignCode="clk_01kaz8h0000000000000000001")).click_ids == (
        "clk_01kaz8h0000000000000000001",
    )


def test_automatic_promotions_have_no_code_and_an_order_without_any_says_so() -> None:
    lines = SENT["data"]["payload"]["order"]["lineItems"]
    automatic = {**lines[1], "payload": {"code": "", "discountType": "percentage"}}
    for items in ([lines[0], automatic], lines[:1]):
        order = order_of(message(lineItems=items))
        assert (order.codes, order.lists_codes) == ((), True)


# ── What takes an order back ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_cancelled_order_is_taken_back_and_a_later_message_gives_it_again() -> None:
    [cancelled] = order_of(message("state_enter.order.state.cancelled", stateMachineState=state("cancelled"))).refunds
    assert (cancelled.kind, cancelled.full) == ("cancellation", True)
    [lifted] = order_of(message("state_enter.order.state.open", at=1_795_284_030)).refunds
    assert (lifted.kind, lifted.amount_minor, lifted.version > cancelled.version) == ("cancellation", 0, True)


@pytest.mark.parametrize(("event", "kind"), [("state.refunded", "cancellation"), ("state.chargeback", "chargeback")])
def test_a_payment_that_was_refunded_or_charged_back_takes_all_that_is_left(event: str, kind: str) -> None:
    [taken] = order_of(message(f"state_enter.order_transaction.{event}")).refunds
    assert (taken.kind, taken.stated_minor, taken.version) == (
        kind,
        None,
        version_at(datetime(2026, 11, 21, 18, 0, 29, tzinfo=UTC)),
    )


def test_other_events_are_ignored() -> None:
    for event in ("state_enter.order_transaction.state.refunded_partially", "checkout.customer.login"):
        assert read(message(event)).ignored == "ignored_by_rule"


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"id": None}, "order_id: /data/payload/order/id is null"),
        ({"currency": None}, "currency: nothing stands at /data/payload/order/currency/isoCode"),
        ({"amountTotal": "a lot"}, '/data/payload/order/amountTotal is "a lot"'),
    ],
)
def test_what_cannot_be_meant_is_rejected_with_its_place(fields: dict[str, Any], names: str) -> None:
    parsed = read(message(**fields))
    assert parsed.reports == ()
    assert names in (parsed.detail or "")


# ── The app ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def block(language: str) -> str:
    [found] = re.findall(rf"^   ```{language}\n(.*?)\n   ```", PAGE, flags=re.DOTALL | re.MULTILINE)
    return dedent(found)


def test_the_app_subscribes_to_the_events_that_are_read_and_to_no_other() -> None:
    subscribed = {each.get("event") for each in ElementTree.fromstring(block("xml")).iter("webhook")}
    rules: Any = PRESETS["shopware"]["mapping"]
    known = {
        word
        for rule in rules["rules"]
        for each in rule.get("when", ())
        if each["at"] == "/data/event"
        for word in each["equals"]
    }
    assert subscribed == known


def answered(directory: Path, query: str, signature: str) -> str:
    php = shutil.which("php")
    if php is None:
        pytest.skip("no php found on PATH")
    script = directory / "register.php"
    script.write_text(block("php"))
    server = f"$_SERVER['QUERY_STRING'] = {query!r}; $_SERVER['HTTP_SHOPWARE_APP_SIGNATURE'] = {signature!r};"
    run = subprocess.run(
        [php, "-r", f"{server} require {str(script)!r};"], capture_output=True, text=True, check=True, timeout=20
    )
    return run.stdout


def test_the_registration_gives_the_proof_that_shopware_asks_for_and_the_secret_of_the_source(tmp_path: Path) -> None:
    secret = (ElementTree.fromstring(block("xml")).findtext("setup/secret") or "").encode()
    asked = {"shop-id": "KIPf0Fz6BUkN", "shop-url": "http://my.shop.com", "timestamp": "159239728"}
    query = urlencode(asked)
    answer = json.loads(answered(tmp_path, query, hmac.new(secret, query.encode(), hashlib.sha256).hexdigest()))
    proof = hmac.new(secret, b"KIPf0Fz6BUkNhttp://my.shop.comAriane", hashlib.sha256).hexdigest()
    assert (answer["proof"], answer["secret"]) == (proof, "a-long-random-secret")
    assert '"secrets": ["a-long-random-secret"]' in PAGE
    assert answered(tmp_path, query, "0" * 64) == answered(tmp_path, "", "") == ""


def test_the_signature_covers_every_byte_under_the_secret_of_the_registration() -> None:
    def verdict(headers: dict[str, str], body: bytes) -> str | None:
        return verify("generic", body=body, headers=headers, secrets=["a-long-random-secret"], now_s=0, settings=PRESET)

    body = message()
    right = {"shopware-shop-signature": hmac.new(b"a-long-random-secret", body, hashlib.sha256).hexdigest()}
    assert verdict(right, body) is None
    assert verdict(right, body.replace(b"113.88", b"113.89")) == "wrong_signature"
    assert verdict({}, body) == "missing_signature"
