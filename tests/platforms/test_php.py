"""The PHP of the pages, run: what a shop's owner pastes must send what we read, signed as we verify it.

The shops are small stand-ins in tests/shops. Skipped where there is no PHP; with ARIANE_TESTS_REQUIRE_PHP=1, which `.ci/run` sets, that is a failure.
"""

import json
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from app.domain.folding import fold
from app.domain.orders import TRUST_SERVER, Context, OrderReport, Witness
from app.domain.sites import read_site
from app.platforms import pixel
from app.platforms.generic.webhook import parse as parse_generic
from app.platforms.signing import verify
from app.platforms.woocommerce.webhook import parse as parse_woocommerce
from demo.simulator import DOCUMENTS

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "connect"
SHOPS = ROOT / "tests" / "shops"
PROOF = "b44a6d9efd7a0076a0fbce6b15eaf3b1"
CLICK = "clk_01kaz8h0000000000000000000"
RECEIVED = datetime(2026, 11, 25, tzinfo=UTC)
# Functions of PHP's own that the stand-ins define anew; PHP lets them once they are disabled.
REPLACED = "setcookie,curl_init,curl_setopt_array,curl_exec,curl_getinfo"


@pytest.fixture(scope="module")
def php() -> str:
    """PHP's path."""
    program = shutil.which("php")
    if program is None:
        reason = "no php found on PATH; .ci/install-php installs one"
        if os.environ.get("ARIANE_TESTS_REQUIRE_PHP") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return program


def pasted(page: str, directory: Path) -> list[Path]:
    """Every piece of PHP on a page, each in a file of its own."""
    blocks = re.findall(r"^( *)```php\n(.*?)\n\1```", (PAGES / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    assert blocks, f"{page} has no PHP"
    files = []
    for number, (_, block) in enumerate(blocks):
        code = dedent(block)
        files.append(directory / f"{number}.php")
        files[-1].write_text(code if code.startswith("<?php") else f"<?php\n{code}")
    return files


def run(php: str, *arguments: object) -> str:
    """What PHP writes; any error, warning or notice of its is ours. -n: whatever its settings on this machine."""
    strict = ["-n", "-d", "error_reporting=-1", "-d", "display_errors=stderr", "-d", f"disable_functions={REPLACED}"]
    done = subprocess.run([php, *strict, *map(str, arguments)], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def reported_by(page: str) -> OrderReport:
    """What the script of a page would report, read as the beacon's."""
    [call] = re.findall(r"<script>[^<]*ariane\('track', 'sale', (.*?)\);</script>", page)
    [report] = pixel.parse(
        json.dumps({"k": "pk_x", "event": "sale", **json.loads(call)}).encode(), "", context({})
    ).reports
    return report


def context(settings: dict[str, Any]) -> Context:
    return Context(
        received_at=RECEIVED, currency="EUR", customer_key=lambda number, email: f"{number}/{email}", settings=settings
    )


def witness(report: OrderReport) -> Witness:
    return Witness(report, TRUST_SERVER, content_hash=repr(report).encode(), received_at=RECEIVED)


def test_the_module_for_prestashop_sends_what_the_preset_reads(php: str, tmp_path: Path) -> None:
    [module] = pasted("prestashop.md", tmp_path)
    *lines, page, logged = map(json.loads, run(php, SHOPS / "prestashop.php", module).splitlines())
    assert [json.loads(each["body"])["event"] for each in lines] == ["order", "status", "slip"]
    assert logged == {"log": "Ariane: no currency 9", "level": 3}
    preset = {"preset": "prestashop"}
    reports = []
    for each in lines:
        headers = dict(line.split(": ", 1) for line in each["headers"])
        body = each["body"].encode()
        assert read_site(headers["X-Ariane-Site"]) == "boutique.example/ps"
        at_s = int(headers["X-Ariane-Timestamp"])
        secrets = ["a-long-random-secret"]
        assert verify("generic", body=body, headers=headers, secrets=secrets, now_s=at_s, settings=preset) is None
        [order] = parse_generic(body, {"content-type": "application/json"}, context(preset)).reports
        reports.append(order)
        # The voucher took 10.00 off the goods and the 4.90 of shipping; 19:00 in Paris is 18:00 UTC.
        assert (order.items_minor, order.discount_minor, order.net_minor) == (10_000, 1_000, 9_000)
        assert (order.tax_minor, order.shipping_minor) == (1_800, 490)
        assert order.occurred_at == datetime(2026, 11, 21, 18, tzinfo=UTC)
        assert (order.codes, order.click_ids) == (("LEA10",), (CLICK,))
    assert [each.paid for each in reports] == [False, True, True]
    assert [[refund.amount_minor for refund in each.refunds if refund.kind == "refund"] for each in reports] == [
        [],
        [],
        [2_500],
    ]
    # The confirmation page names the order with the proof that the module's own message states.
    assert {(each.system, each.proofs, each.lists_codes) for each in reports} == {("prestashop", (PROOF,), True)}
    reported = reported_by(page["page"])
    assert (reported.refs, reported.proofs) == (("42",), (PROOF,))


def test_an_order_of_prestashop_that_is_paid_within_its_second_is_paid(php: str, tmp_path: Path) -> None:
    """PrestaShop places an order and sets its status in one go; of two messages of one time, a hash would choose."""
    [module] = pasted("prestashop.md", tmp_path)
    bodies = [json.loads(line).get("body", "") for line in run(php, SHOPS / "prestashop.php", module).splitlines()]
    parsed = [parse_generic(each.encode(), {}, context({"preset": "prestashop"})) for each in bodies if each]
    reports = [report for each in parsed for report in each.reports]
    assert [each.version for each in reports] == sorted({each.version for each in reports})
    order = fold(map(witness, reversed(reports)), [])
    assert (order.status, order.flags) == ("approved", ())


def test_the_lines_for_woocommerce_tell_the_click_and_what_a_refund_was_for(php: str, tmp_path: Path) -> None:
    """4.00 of goods and 6.45 of shipping went back, of which the order alone would tell 10.45."""
    order = json.loads((DOCUMENTS / "woocommerce_order_refunded_v3.json").read_bytes())
    refund = json.loads((DOCUMENTS / "woocommerce_refund_v3.json").read_bytes())
    order["refunds"] = [{"id": refund["id"], "reason": "", "total": "-10.45"}]
    refund["amount"] = "10.45"
    refund["line_items"] = [{"id": 5, "name": "Serum", "total": "-4.00", "total_tax": "-0.30"}]
    (tmp_path / "order.json").write_text(json.dumps(order))
    (tmp_path / "refund.json").write_text(json.dumps(refund))
    keep_click, thank_you, tell_refunds = pasted("woocommerce.md", tmp_path)
    secret = "l&#039;été &lt;&amp;&gt;"
    files = (tmp_path / "order.json", tmp_path / "refund.json", keep_click, thank_you, tell_refunds)
    said = json.loads(run(php, SHOPS / "woocommerce.php", secret, *files))

    assert said["cookie"]["value"] == CLICK
    assert (said["cookie"]["path"], said["cookie"]["secure"], said["cookie"]["samesite"]) == ("/", True, "Lax")
    assert said["orders"] == [{"_ariane": CLICK}] * 2

    body, headers = said["sent"]["body"].encode(), said["sent"]["headers"]
    for kept in (secret, "l'été <&>"):
        assert verify("woocommerce", body=body, headers=headers, secrets=[kept], now_s=0, settings={}) is None
    named = {name.lower(): value for name, value in headers.items()}
    [report] = parse_woocommerce(body, named, context({})).reports
    [told] = [each for each in report.refunds if each.kind == "refund"]
    assert (told.refund_id, told.amount_minor) == ("726", 400)
    assert told.occurred_at == datetime(2017, 3, 21, 20, 7, 11, tzinfo=UTC)
    assert said["user"] == 0, "the filter must leave nobody logged in"

    assert said["page"].count("<script async src=") == 1
    reported = reported_by(said["page"])
    assert (reported.order_id, reported.proofs) == (report.order_id, report.proofs)
    assert (reported.net_minor, reported.estimated, reported.codes) == (1_800, False, ("lea10", "</script>"))


@pytest.mark.parametrize("page", sorted(each.name for each in PAGES.glob("*.md") if "```php" in each.read_text()))
def test_the_php_of_a_page_is_php(php: str, page: str, tmp_path: Path) -> None:
    for file in pasted(page, tmp_path):
        run(php, "-l", file)
