"""Goal: what a shop's server signed of a pixel is trusted, what it did not is not, and nobody else can make a signature."""

import hashlib
import hmac
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.orders import Context, Parsed
from app.platforms.pixel import parse
from app.platforms.pixel_signature import canonical

SECRET = "sig_a-secret-of-the-shops-server"
FIELDS = {"order_id": "1001", "amount": "49.90", "currency": "EUR", "code": "LEA10"}
PAGE = (Path(__file__).parents[2] / "docs" / "pixel.md").read_text()
BLOCKS = dict(re.findall(r"<!-- tested: signed (\w+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))


def context(*secrets: str, shop: str = "main") -> Context:
    return Context(
        received_at=datetime(2026, 11, 22, tzinfo=UTC),
        currency="EUR",
        customer_key=lambda number, email: number or email,
        shop=shop,
        pixel_secrets=secrets,
    )


def sign(fields: Mapping[str, str], *, secret: str = SECRET, shop: str = "main") -> dict[str, str]:
    """As docs/pixel.md says."""
    covered = {"event": "sale", **fields, "shop": shop}
    text = "&".join(f"{quote(name, safe='')}={quote(covered[name], safe='')}" for name in sorted(covered))
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    return {**fields, "signed": ",".join(fields), "sig": signature}


def read(fields: Mapping[str, Any], *secrets: str, shop: str = "main") -> Parsed:
    return parse(urlencode(fields).encode(), "", context(*(secrets or (SECRET,)), shop=shop))


def refused(parsed: Parsed, reason: str) -> None:
    assert (parsed.rejected, parsed.reports, parsed.vouched) == (reason, (), ()), parsed


# ── What is covered ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_the_server_signed_is_a_report_of_its_own_that_is_vouched_for() -> None:
    for parsed in (read(sign(FIELDS)), parse(json.dumps(sign(FIELDS)).encode(), "text/plain", context(SECRET))):
        [report] = parsed.vouched
        assert (report.order_id, report.net_minor, report.currency, report.codes) == ("1001", 4_990, "EUR", ("LEA10",))
        assert parsed.reports == ()


def test_without_a_list_of_names_the_signature_covers_every_field_of_the_hit() -> None:
    signed = {name: value for name, value in sign(FIELDS).items() if name != "signed"}
    assert read({"k": "pk_x", **signed}).vouched
    refused(read({**signed, "click_id": "clk_x"}), "wrong_signature")


def test_what_the_signature_does_not_cover_is_an_unsigned_report_that_the_signature_proves() -> None:
    parsed = read(
        {
            **sign(FIELDS),
            "k": "pk_x",
            "event": "sale",
            "click_id": "clk_x",
            "visitor_id": "v",
            "test": "1",
            "tax": "9.00",
        }
    )
    [vouched], [rest] = parsed.vouched, parsed.reports
    assert (vouched.click_ids, vouched.visitor_id, vouched.test, vouched.tax_minor) == ((), None, False, None)
    assert (rest.refs, rest.click_ids, rest.visitor_id, rest.codes) == (vouched.refs, ("clk_x",), "v", ())
    assert set(vouched.proofs) & set(rest.proofs)
    assert "not signed: click_id, tax, test, visitor_id" in parsed.notes


def test_what_somebody_adds_to_a_signed_hit_can_neither_replace_nor_refuse_it() -> None:
    [alone] = read(sign(FIELDS)).vouched
    for added in (
        {"codes": "EVIL"},
        {"customer": "x"},
        {"amount_": "1"},
        {"occurred_at": "2019"},
        {"tax": "-5"},
        {"shop": "x"},
    ):
        parsed = read({**sign(FIELDS), **added})
        assert parsed.vouched == (alone,), added


def test_a_signature_that_covers_no_order_is_refused() -> None:
    refused(read({**sign({"amount": "5.00"}), "order_id": "1001"}), "incomplete_signature")
    assert read(sign({"checkout_token": "tok", "amount": "5.00"})).vouched


# ── What is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["order_id", "amount", "currency", "code", "event"])
def test_a_covered_field_that_was_changed_added_or_left_out_breaks_the_signature(name: str) -> None:
    fields = sign({**FIELDS, "event": "sale"})
    refused(read({**fields, name: fields[name] + "1"}), "wrong_signature")
    if name != "event":
        refused(read({**fields, "signed": ",".join(FIELDS.keys() - {name})}), "wrong_signature")
        del fields[name]
        refused(read(fields), "wrong_signature")


def test_a_signature_is_good_for_one_event_and_one_shop() -> None:
    refused(read({**sign(FIELDS), "event": "lead"}), "wrong_signature")
    refused(read({**sign(FIELDS), "kind": "lead"}), "wrong_signature")
    refused(read(sign(FIELDS), shop="fr"), "wrong_signature")
    assert read(sign(FIELDS, shop="fr"), shop="fr").vouched


def test_a_signature_needs_a_secret_of_the_key_any_of_which_will_do() -> None:
    assert read(sign(FIELDS), "another", SECRET).vouched
    refused(read(sign(FIELDS), "another"), "wrong_signature")
    refused(parse(urlencode(sign(FIELDS)).encode(), "", context()), "no_secret")


@pytest.mark.parametrize("sig", ["x", "0" * 63, "0" * 65, "zz" * 32, " " * 64])
def test_a_signature_that_is_none_is_refused_and_never_taken_for_an_unsigned_hit(sig: str) -> None:
    refused(read({**sign(FIELDS), "sig": sig}), "malformed_signature")


def test_a_template_variable_is_no_id_in_a_signed_hit_either() -> None:
    refused(read(sign({**FIELDS, "order_id": "{{ order.id }}"})), "unresolved_macro")


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@given(st.dictionaries(TEXTS, TEXTS, max_size=5), st.dictionaries(TEXTS, TEXTS, max_size=5))
def test_two_sets_of_fields_never_have_one_canonical_form(one: dict[str, str], other: dict[str, str]) -> None:
    assert (canonical(one) == canonical(other)) is (one == other)


@given(st.sampled_from(sorted(FIELDS)), TEXTS)
def test_no_other_value_of_a_covered_field_passes(name: str, value: str) -> None:
    if value.strip() and value != FIELDS[name]:
        assert read({**sign(FIELDS), name: value}).vouched == ()


# ── The examples of the page ─────────────────────────────────────────────────────────────────────────────────────────

CALLS = {
    "python": (sys.executable, "-c", "import json, sys\nprint(json.dumps(ariane_signed(json.loads(sys.argv[1]), sys.argv[2], sys.argv[3])))"),
    "node": ("node", "-e", "console.log(JSON.stringify(arianeSigned(...[JSON.parse(process.argv[1]), ...process.argv.slice(2)])))"),
    "php": ("php", "-r", "echo json_encode(ariane_signed(json_decode($argv[1], true), $argv[2], $argv[3]));"),
}  # fmt: skip
ODD = {**FIELDS, "order_id": "A-1~(b)*!'_.", "code": "L'ÉTÉ & Co 10%+=~", "amount": "1234.50"}


@pytest.mark.parametrize("language", sorted(CALLS))
@pytest.mark.parametrize("fields", [FIELDS, ODD, {**FIELDS, "code": ""}])
def test_the_example_of_the_page_signs_as_we_verify(language: str, fields: dict[str, str]) -> None:
    program, option, call = CALLS[language]
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"no {program} found on PATH")
    command = [
        found,
        option,
        f"{BLOCKS[language]}\n{call}",
        *(["--"] if language == "php" else []),
        json.dumps(fields),
        SECRET,
        "fr",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    signed = json.loads(done.stdout)
    assert signed == sign({name: value for name, value in fields.items() if value}, shop="fr")
    [report] = read({**signed, "k": "pk_x"}, shop="fr").vouched
    assert report.net_minor is not None
    assert read({**signed, "click_id": "clk_x"}, shop="fr").reports
