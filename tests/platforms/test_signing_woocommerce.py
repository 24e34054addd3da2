"""Goal: exactly what WooCommerce signed passes: base64(HMAC-SHA256(body, wp_specialchars_decode(secret, ENT_QUOTES))), and its ping is told apart."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.platforms.registry import platform_of
from app.platforms.signing import kept_headers, verify
from app.platforms.woocommerce.signature import decode_entities

# As wp_json_encode writes: slashes and all beyond ASCII escaped. The digests were worked out with openssl:
#   printf '%s' "$BODY" | openssl dgst -sha256 -hmac "$SECRET" -binary | base64
BODY = rb'{"id":727,"date_created":"2017-03-22T16:28:02","url":"https:\/\/example.com\/","name":"Jo\u00e3o"}'
PLAIN, PLAIN_SIGNED = "hush", "sPYz3XypnXKpTulIBaoATjNWaFTu70mRHePhCiffwHk="
ODD, ODD_SIGNED = """a&b<c>"d'e""", "Mf39SBvKZ1RBs1eE3T/Hh33FQ5iX4/8aXp20odrPITk="


def verdict(
    signature: str | None, *secrets: str, body: bytes = BODY, name: str = "X-WC-Webhook-Signature"
) -> str | None:
    headers = {} if signature is None else {name: signature}
    return verify("woocommerce", body=body, headers=headers, secrets=secrets, now_s=0)


def signed(secret: str, body: bytes = BODY) -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def test_the_vectors_made_with_openssl_pass() -> None:
    assert verdict(PLAIN_SIGNED, PLAIN) is None
    assert verdict(ODD_SIGNED, ODD) is None


@pytest.mark.parametrize("name", ["X-WC-Webhook-Signature", "x-wc-webhook-signature", "X-Wc-Webhook-Signature"])
def test_the_header_is_found_in_any_case(name: str) -> None:
    assert verdict(PLAIN_SIGNED, PLAIN, name=name) is None


@pytest.mark.parametrize(
    "pasted",
    [
        ODD,
        "a&amp;b&lt;c&gt;&quot;d&#039;e",  # as it stands in the page's source
        "a&b&lt;c>\"d'e",  # as sanitize_text_field leaves it in the database
        "a&#038;b&#060;c&#062;&#034;d&#39;e",
        "a&#x26;b&#x3C;c&#x3e;&#x22;d&#x27;e",
    ],
)
def test_the_secret_may_be_given_as_typed_or_as_wordpress_stores_it(pasted: str) -> None:
    assert verdict(ODD_SIGNED, pasted) is None
    assert verdict(ODD_SIGNED, "old", pasted) is None


def test_a_secret_typed_as_an_entity_is_signed_with_as_what_it_stands_for() -> None:
    """Somebody types `&amp;` into the shop: it is stored so, and the shop signs with `&`."""
    assert verdict(signed("&"), "&amp;") is None
    assert verdict(signed("&lt;"), "&amp;lt;") is None, "one pass, as in WordPress"
    assert verdict(signed("<"), "&amp;lt;") == "wrong_signature"


@pytest.mark.parametrize(
    "text", ["&copy;", "&eacute;", "&amp", "&AMP;", "&#65;", "&#x41;", "&nbsp;", "a & b", "&;", "&#;"]
)
def test_other_entities_are_left_alone(text: str) -> None:
    assert decode_entities(text) == text


@given(st.text("&<>\"'ampltgqu#039;x", max_size=30))
def test_encoding_a_secret_as_wordpress_does_and_decoding_it_gives_it_back(secret: str) -> None:
    stored = (
        secret.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace('"', "&quot;")
        .replace("'", "&#039;")
    )
    assert decode_entities(stored) == secret


def tampered() -> Iterator[tuple[str, str | None, bytes, str]]:
    """(what was done, signature, body, verdict) under the secret ODD."""
    good = signed(ODD)
    yield "untouched", good, BODY, ""
    for index in range(len(BODY)):
        flipped = bytearray(BODY)
        flipped[index] ^= 1 << index % 8
        yield f"one bit of byte {index}", good, bytes(flipped), "wrong_signature"
    yield "trailing newline", good, BODY + b"\n", "wrong_signature"
    yield "leading space", good, b" " + BODY, "wrong_signature"
    yield "byte order mark", good, b"\xef\xbb\xbf" + BODY, "wrong_signature"
    yield "re-serialised", good, json.dumps(json.loads(BODY)).encode(), "wrong_signature"
    yield "slashes unescaped", good, BODY.replace(rb"\/", b"/"), "wrong_signature"
    yield "characters unescaped", good, BODY.replace(rb"\u00e3", "ã".encode()), "wrong_signature"
    yield "characters decomposed", good, BODY.replace(rb"\u00e3", rb"a\u0303"), "wrong_signature"
    yield "empty body", good, b"", "wrong_signature"
    yield "another secret", signed("another"), BODY, "wrong_signature"
    yield "secret with a newline", signed(ODD + "\n"), BODY, "wrong_signature"
    yield "secret in another case", signed(ODD.upper()), BODY, "wrong_signature"
    yield "the encoded secret", signed("a&amp;b&lt;c&gt;&quot;d&#039;e"), BODY, "wrong_signature"
    yield "sha1", base64.b64encode(hmac.new(ODD.encode(), BODY, "sha1").digest()).decode(), BODY, "malformed_signature"
    yield (
        "sha512",
        base64.b64encode(hmac.new(ODD.encode(), BODY, "sha512").digest()).decode(),
        BODY,
        "malformed_signature",
    )
    yield "hex for base64", base64.b64decode(good).hex(), BODY, "malformed_signature"
    yield "base64 for addresses", "-" + good[1:].replace("+", "-").replace("/", "_"), BODY, "malformed_signature"
    yield "without padding", good.rstrip("="), BODY, "malformed_signature"
    yield "a prefix", f"sha256={good}", BODY, "malformed_signature"
    yield "two signatures", f"{good},{good}", BODY, "malformed_signature"
    yield "spaces inside", f"{good[:20]} {good[20:]}", BODY, "malformed_signature"
    yield "empty", "", BODY, "missing_signature"
    yield "none", None, BODY, "missing_signature"


@pytest.mark.parametrize(
    ("what", "signature", "body", "expected"), [each for each in tampered() if "one bit" not in each[0]]
)
def test_a_message_that_was_touched_is_told_what_is_wrong(
    what: str, signature: str | None, body: bytes, expected: str
) -> None:
    assert (verdict(signature, ODD, body=body) or "") == expected, what


def test_no_bit_of_the_body_may_change() -> None:
    verdicts = {verdict(signature, ODD, body=body) for what, signature, body, _ in tampered() if "one bit" in what}
    assert verdicts == {"wrong_signature"}


def test_spaces_around_the_header_do_not_matter() -> None:
    assert verdict(f" {PLAIN_SIGNED} ", PLAIN) is None


def test_an_empty_secret_signs_nothing() -> None:
    assert verdict(signed(""), "") == "no_secret"


def test_what_a_delivery_is_read_and_checked_with_is_kept() -> None:
    assert {"x-wc-webhook-signature", "x-wc-webhook-topic", "x-wc-webhook-delivery-id"} <= kept_headers("woocommerce")


# ── The ping ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("body", [b"webhook_id=1", b"webhook_id=42", b"webhook_id=18446744073709551615"])
def test_the_ping_is_a_webhooks_id_and_nothing_else(body: bytes) -> None:
    assert platform_of("woocommerce").is_ping(body, {"content-type": "application/x-www-form-urlencoded"})


@pytest.mark.parametrize(
    "body",
    [b"", b"webhook_id=", b"webhook_id=x", b"webhook_id=42\n", b" webhook_id=42", b"webhook_id=42&a=1", b"a=1&webhook_id=42",
     b"webhook_id=-1", b"webhook_id=" + b"9" * 21, "webhook_id=٤٢".encode(), b'{"webhook_id":42}', BODY],
)  # fmt: skip
def test_nothing_else_is_a_ping(body: bytes) -> None:
    assert not platform_of("woocommerce").is_ping(body, {})


def test_a_ping_is_unsigned_and_no_other_platforms() -> None:
    assert not platform_of("woocommerce").is_ping(b"webhook_id=42", {"x-wc-webhook-signature": PLAIN_SIGNED})
    for other in ("shopify", "generic", "unheard"):
        assert not platform_of(other).is_ping(b"webhook_id=42", {})
