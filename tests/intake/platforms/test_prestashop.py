"""PrestaShop, a preset of the generic source. It has no webhooks: the messages are those of the module on docs/connect/prestashop.md.

Goal: what that module sends is the order as the shop sees it, whichever of its messages arrives, and a message that was signed otherwise is refused.
"""

import hashlib
import hmac
import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.domain.orders import Context, Parsed, RefundReport, version_at
from app.domain.signing import verify
from app.intake.platforms.generic.webhook import parse

PAGE = Path(__file__).parents[3] / "docs" / "connect" / "prestashop.md"
PRESET = {"preset": "prestashop"}
CONTEXT = Context(
    received_at=datetime(2026, 11, 25, tzinfo=UTC),
    currency="USD",
    customer_key=lambda number, email: f"{number}/{email}",
    settings=PRESET,
)
SECRET = "a-long-random-secret"
NOW_S = 1_795_000_000

MESSAGE: dict[str, Any] = {
    "event": "order",
    "sent_at": "2026-11-21T18:00:03Z",
    "order": {
        "id_order": 42,
        "reference": "XKBKNABJK",
        "date_add": "2026-11-21T18:00:00Z",
        "currency": "EUR",
        "total_products": "100.000000",
        "discount": "10.000000",
        "total_tax": "18.980000",
        "total_shipping_tax_excl": "4.900000",
        "valid": True,
        "cancelled": None,
    },
    "order_cart_rule": [{"code": "LEA10"}, {"code": None}, {"code": ""}],
    "order_detail": [
        {
            "id_order_detail": 77,
            "product_reference": "SERUM-30",
            "product_name": "Serum 30 ml",
            "product_quantity": "2",
            "total_price_tax_excl": "100.000000",
        }
    ],
    "order_slip": [],
    "customer": {"id_customer": 7, "email": "bob@example.com"},
    "ariane": "clk_01kaz8h0000000000000000000",
}
SLIP = {
    "id_order_slip": 3,
    "total_products_tax_excl": "25.000000",
    "date_add": "2026-11-23T09:00:00Z",
    "date_upd": "2026-11-23T09:00:00Z",
}


def message(**fields: Any) -> bytes:
    """The message with other fields; those of `order` are merged."""
    order = {**MESSAGE["order"], **fields.pop("order", {})}
    return json.dumps({**MESSAGE, "order": order, **fields}).encode()


def read(body: bytes) -> Parsed:
    return parse(body, {"content-type": "application/json"}, CONTEXT)


def test_an_order_is_its_goods_after_vouchers_before_tax_and_shipping() -> None:
    parsed = read(message())
    assert (parsed.topic, parsed.rejected) == ("order", None)
    [order] = parsed.reports
    assert (order.order_id, order.refs, order.currency) == ("42", ("42",), "EUR")
    assert (order.items_minor, order.discount_minor, order.net_minor) == (10_000, 1_000, 9_000)
    assert (order.tax_minor, order.shipping_minor, order.estimated) == (1_898, 490, False)
    assert order.occurred_at == datetime(2026, 11, 21, 18, tzinfo=UTC)
    assert order.version == version_at(datetime(2026, 11, 21, 18, 0, 3, tzinfo=UTC))
    assert (order.codes, order.click_ids) == (("LEA10",), ("clk_01kaz8h0000000000000000000",))
    assert order.customer.key == "7/bob@example.com"
    assert [(each.id, each.sku, each.quantity, each.net_minor) for each in order.lines] == [
        ("77", "SERUM-30", 2, 10_000)
    ]
    assert order.paid is True


def test_orders_of_one_split_cart_stay_apart() -> None:
    """They share the reference, so that it must not be a name of either."""
    [one], [other] = read(message()).reports, read(message(order={"id_order": 43})).reports
    assert not set(one.refs) & set(other.refs)


def test_an_order_that_waits_for_its_payment_is_not_paid_yet() -> None:
    [order] = read(message(order={"valid": False})).reports
    assert order.paid is False


def test_credit_slips_are_refunds_in_every_message_that_follows() -> None:
    [order] = read(message(event="slip", sent_at="2026-11-23T09:00:01Z", order_slip=[SLIP])).reports
    slip = next(each for each in order.refunds if each.kind == "refund")
    at = datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert slip == RefundReport("3", amount_minor=2_500, currency="EUR", occurred_at=at, version=version_at(at))


def test_a_cancelled_order_is_taken_back_and_a_live_one_given_back() -> None:
    """A new order says nothing of it; a later message says which, and the newest counts."""
    assert read(message()).reports[0].refunds == ()
    [cancelled] = read(message(event="status", sent_at="2026-11-22T10:00:00Z", order={"cancelled": True})).reports
    [cancellation] = cancelled.refunds
    assert (cancellation.refund_id, cancellation.kind, cancellation.full) == ("cancelled", "cancellation", True)
    [revived] = read(message(event="status", sent_at="2026-11-22T11:00:00Z", order={"cancelled": False})).reports
    assert (revived.refunds[0].refund_id, revived.refunds[0].amount_minor) == ("cancelled", 0)
    assert revived.refunds[0].version > cancellation.version


@pytest.mark.parametrize(
    ("fields", "reason", "names"),
    [
        ({"order": {"id_order": None}}, "missing_value", "/order/id_order is null"),
        ({"order": {"total_products": "1.234"}}, "wrong_value", "could be a thousand"),
        ({"order": {"total_products": "1,234,567"}}, "wrong_value", "/order/total_products"),
        ({"order": {"valid": "perhaps"}}, "wrong_value", '/order/valid is "perhaps"'),
        (
            {"order_detail": [{"product_quantity": "many"}]},
            "wrong_value",
            '/order_detail/* (1): /product_quantity is "many"',
        ),
        ({"order_slip": [{**SLIP, "total_products_tax_excl": None}]}, "missing_value", "how much was given back"),
        ({"order_slip": [{**SLIP, "id_order_slip": None}]}, "missing_value", "/id_order_slip is null"),
        ({"order_slip": [7]}, "missing_value", "/order_slip/* (1): "),
    ],
)
def test_what_cannot_be_meant_is_rejected_with_its_place(fields: dict[str, Any], reason: str, names: str) -> None:
    parsed = read(message(**fields))
    assert (parsed.rejected, parsed.reports) == (reason, ())
    assert names in (parsed.detail or "")


# ── Its signature ────────────────────────────────────────────────────────────────────────────────────────────────────


def signed(body: bytes, at_s: int = NOW_S) -> dict[str, str]:
    digest = hmac.new(SECRET.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Ariane-Timestamp": str(at_s), "X-Ariane-Signature": f"sha256={digest}"}


def check(body: bytes, headers: dict[str, str]) -> str | None:
    return verify("generic", body=body, headers=headers, secrets=[SECRET], now_s=NOW_S, settings=PRESET)


def test_the_time_is_signed_with_the_body() -> None:
    body = message()
    assert check(body, signed(body)) is None
    assert check(body + b"\n", signed(body)) == "wrong_signature"
    assert check(body, {**signed(body), "X-Ariane-Timestamp": str(NOW_S + 1)}) == "wrong_signature"
    assert check(body, signed(body, NOW_S - 301)) == "stale_timestamp"
    assert check(body, {"X-Ariane-Signature": signed(body)["X-Ariane-Signature"]}) == "missing_signature"


# ── The module of the page, run ──────────────────────────────────────────────────────────────────────────────────────

PHP = shutil.which("php") or shutil.which("php8.2")

# As little of PrestaShop as the module touches; curl keeps what it would have sent.
SHOP = r"""<?php
define('_PS_VERSION_', '8.2.0'); define('_DB_PREFIX_', 'ps_'); date_default_timezone_set('Europe/Paris');
const CURLOPT_POST = 1, CURLOPT_POSTFIELDS = 2, CURLOPT_RETURNTRANSFER = 3, CURLOPT_CONNECTTIMEOUT = 4, CURLOPT_TIMEOUT = 5,
      CURLOPT_HTTPHEADER = 6, CURLINFO_HTTP_CODE = 7;
function curl_init($url) { return (object) ['url' => $url]; }
function curl_setopt_array($request, $options) { $request->options = $options; }
function curl_exec($request) { echo json_encode(['body' => $request->options[CURLOPT_POSTFIELDS], 'headers' => $request->options[CURLOPT_HTTPHEADER]]), "\n"; }
function curl_getinfo($request, $what) { return 200; }
class Module { public $name, $tab, $version, $author, $displayName, $description;
    public function __construct() {} public function install() { return true; } public function registerHook($names) { return true; } }
class PrestaShopLogger { public static function addLog($text, $level) { fwrite(STDERR, $text); } }
class Configuration { public static function get($name) { return ['PS_OS_CANCELED' => '6', 'PS_OS_ERROR' => '8', 'PS_OS_REFUND' => '7'][$name]; } }
class Currency { public $iso_code = 'EUR'; public function __construct($id) {} }
class Customer { public $email = 'bob@example.com'; public function __construct($id) {} }
class Order {
    public $id, $reference = 'XKBKNABJK', $date_add = '2026-11-21 19:00:00', $id_currency = 1, $id_customer = 7, $total_products = '100.000000',
        $total_discounts_tax_excl = 14.9, $total_shipping_tax_excl = 4.9, $total_paid_tax_incl = 108.0, $total_paid_tax_excl = 90.0,
        $valid = '1', $current_state = 2;
    public function __construct($id) { $this->id = $id; }
}
class Db {
    const INSERT_IGNORE = 2;
    private static $click;
    public static function getInstance() { return new Db(); }
    public function execute($sql) { return true; }
    public function insert($table, $row) { self::$click = $row['click']; return true; }
    public function getValue($sql) { return self::$click ?: false; }
    public function executeS($sql) {
        if (strpos($sql, 'order_cart_rule')) { return [['code' => 'LEA10', 'value_tax_excl' => '14.900000', 'free_shipping' => '1']]; }
        if (strpos($sql, 'order_slip')) { return [['id_order_slip' => '3', 'total_products_tax_excl' => '25.000000',
            'date_add' => '2026-11-23 10:00:00', 'date_upd' => '2026-11-23 10:00:00']]; }
        return [['id_order_detail' => '77', 'product_reference' => 'S', 'product_name' => "S\u{e9}rum", 'product_quantity' => '2',
            'total_price_tax_excl' => '100']];
    }
}
$_COOKIE['ariane_click'] = 'clk_01kaz8h0000000000000000000';
include $argv[1];
$module = new Ariane();
$module->install();
$module->hookActionValidateOrder(['order' => new Order(42)]);
$module->hookActionOrderStatusPostUpdate(['id_order' => '42']);
$module->hookActionOrderSlipAdd(['order' => new Order(42)]);
"""


@pytest.mark.skipif(PHP is None, reason="PHP is not installed")
def test_the_module_of_the_page_sends_what_the_preset_reads(tmp_path: Path) -> None:
    found = re.search(r"```php\n(.*?)\n```", PAGE.read_text(), flags=re.DOTALL)
    assert found is not None
    (tmp_path / "ariane.php").write_text(found[1])
    (tmp_path / "shop.php").write_text(SHOP)
    command = [str(PHP), "-n", "-d", "error_reporting=-1", "-d", "display_errors=stderr", "shop.php", "ariane.php"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    sent = [json.loads(line) for line in done.stdout.splitlines()]
    assert [json.loads(each["body"])["event"] for each in sent] == ["order", "status", "slip"]
    for each in sent:
        headers = dict(line.split(": ", 1) for line in each["headers"])
        body = each["body"].encode()
        at_s = int(headers["X-Ariane-Timestamp"])
        secrets = ["a-long-random-secret"]
        assert verify("generic", body=body, headers=headers, secrets=secrets, now_s=at_s, settings=PRESET) is None
        [order] = read(body).reports
        # The voucher took 10.00 off the goods and the 4.90 of shipping; 19:00 in Paris is 18:00 UTC.
        assert (order.items_minor, order.discount_minor, order.net_minor, order.tax_minor) == (
            10_000,
            1_000,
            9_000,
            1_800,
        )
        assert order.occurred_at == datetime(2026, 11, 21, 18, tzinfo=UTC)
        assert (order.codes, order.click_ids) == (("LEA10",), ("clk_01kaz8h0000000000000000000",))
        assert next(each.amount_minor for each in order.refunds if each.kind == "refund") == 2_500
