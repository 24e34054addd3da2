"""Goal: exactly the right sender passes, whatever the headers hold. Standard Webhooks is judged by its own library, the rest by fixed vectors."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from app.domain.signing import kept_headers, verify

NOW_S = 1_795_000_000
BODY = '{"id": 820982911946154508, "name": "#9999", "note": "é, ü, 漢"}'.encode()


def shopify(headers: Mapping[str, str], *secrets: str, body: bytes = BODY) -> str | None:
    return verify("shopify", body=body, headers=headers, secrets=secrets, now_s=NOW_S)


def generic(headers: Mapping[str, str], *secrets: str, body: bytes = BODY, now_s: float = NOW_S) -> str | None:
    return verify("generic", body=body, headers=headers, secrets=secrets, now_s=now_s)


# ── Shopify ──────────────────────────────────────────────────────────────────────────────────────────────────────────

# HMAC-SHA256 of exactly these bytes under exactly this secret, worked out with openssl:
#   printf '%s' '{"id":1}' | openssl dgst -sha256 -hmac 'hush' -binary | base64
VECTOR_BODY, VECTOR_SECRET = b'{"id":1}', "hush"
VECTOR = "VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY="


def test_the_vector_made_with_openssl_passes() -> None:
    assert shopify({"X-Shopify-Hmac-Sha256": VECTOR}, VECTOR_SECRET, body=VECTOR_BODY) is None


def b64(secret: str, body: bytes = BODY) -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


@pytest.mark.parametrize(
    "name", ["X-Shopify-Hmac-Sha256", "x-shopify-hmac-sha256", "X-SHOPIFY-HMAC-SHA256", "shopify-hmac-sha256"]
)
def test_the_header_is_found_under_its_names_in_any_case(name: str) -> None:
    assert shopify({name: b64("s")}, "s") is None


def test_any_of_several_secrets_may_have_signed() -> None:
    assert shopify({"x-shopify-hmac-sha256": b64("new")}, "old", "new") is None
    assert shopify({"x-shopify-hmac-sha256": b64("old")}, "old", "new") is None
    assert shopify({"x-shopify-hmac-sha256": b64("older")}, "old", "new") == "wrong_signature"


@pytest.mark.parametrize(
    "tampered",
    [
        BODY + b"\n",
        BODY.replace(b"9999", b"9998"),
        bytes([BODY[0] ^ 1]) + BODY[1:],
        json.dumps(json.loads(BODY)).encode(),
        json.dumps(json.loads(BODY), separators=(",", ":"), ensure_ascii=False).encode(),
        BODY.decode().replace("é", "e\u0301").encode(),
        b"",
    ],
)
def test_other_bytes_of_the_same_meaning_are_refused(tampered: bytes) -> None:
    assert shopify({"x-shopify-hmac-sha256": b64("s")}, "s", body=tampered) == "wrong_signature"


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        (hmac.new(b"s", BODY, hashlib.sha256).hexdigest(), "malformed_signature"),
        (b64("s").rstrip("="), "malformed_signature"),
        (b64("s") + "=", "malformed_signature"),
        (b64("s").replace("+", "-").replace("/", "_") + "é", "malformed_signature"),
        ("not base64 at all", "malformed_signature"),
        ("", "missing_signature"),
        (b64("S"), "wrong_signature"),
    ],
)
def test_a_signature_in_another_form_is_refused(signature: str, reason: str) -> None:
    assert shopify({"x-shopify-hmac-sha256": signature}, "s") == reason


def test_without_a_secret_nothing_passes() -> None:
    assert shopify({"x-shopify-hmac-sha256": b64("")}) == "no_secret"
    assert shopify({"x-shopify-hmac-sha256": b64("")}, "") == "no_secret"
    assert generic({"x-ariane-signature": b64("")}, "") == "no_secret"


def test_without_a_header_nothing_passes() -> None:
    assert shopify({}, "s") == "missing_signature"
    assert generic({}, "s") == "missing_signature"


def test_a_platform_nobody_knows_is_refused() -> None:
    assert verify("unheard", body=b"", headers={}, secrets=["s"], now_s=0) == "unknown_platform"


# ── generic, plain ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("prefix", ["sha256=", ""])
@pytest.mark.parametrize("encoding", ["hex", "HEX", "base64"])
def test_a_plain_signature_may_be_hex_or_base64(prefix: str, encoding: str) -> None:
    digest = hmac.new(b"s", BODY, hashlib.sha256).digest()
    text = {"hex": digest.hex(), "HEX": digest.hex().upper(), "base64": base64.b64encode(digest).decode()}[encoding]
    assert generic({"X-Ariane-Signature": prefix + text}, "s") is None
    assert generic({"X-Ariane-Signature": prefix + text}, "s", body=BODY + b" ") == "wrong_signature"


@pytest.mark.parametrize("text", ["sha256=", "sha256=zz", "sha1=" + "0" * 40, "0" * 63, "0" * 65, "0x" + "0" * 62])
def test_a_plain_signature_in_another_form_is_malformed(text: str) -> None:
    assert generic({"X-Ariane-Signature": text}, "s") == "malformed_signature"


# ── generic, Standard Webhooks ───────────────────────────────────────────────────────────────────────────────────────

STANDARD_SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()


def signed(
    *, body: bytes = BODY, at_s: int = NOW_S, secret: str = STANDARD_SECRET, name: str = "msg_1"
) -> dict[str, str]:
    # The library reads a naive time as UTC.
    moment = datetime.fromtimestamp(at_s, UTC)
    signature = Webhook(secret).sign(name, moment, body.decode())
    return {"webhook-id": name, "webhook-timestamp": str(at_s), "webhook-signature": signature}


def judged(headers: dict[str, str], body: bytes) -> bool:
    """Whether the reference library lets it pass, at NOW_S."""
    with time_machine.travel(NOW_S, tick=False):
        try:
            Webhook(STANDARD_SECRET).verify(body, headers, json_parse=False)
        except (WebhookVerificationError, ValueError):
            # It leaks ValueError and binascii.Error on malformed input; either way it does not pass.
            return False
    return True


def tampered() -> Iterator[tuple[str, dict[str, str], bytes]]:
    good = signed()
    sig = good["webhook-signature"]
    hexed = base64.b64decode(sig.removeprefix("v1,")).hex()
    yield "untouched", good, BODY
    yield "header names in capitals", {name.upper(): value for name, value in good.items()}, BODY
    for index in (0, len(BODY) // 2, len(BODY) - 3):
        flipped = bytearray(BODY)
        flipped[index] ^= 1
        yield f"one bit of byte {index}", good, bytes(flipped)
    yield "trailing newline", good, BODY + b"\n"
    yield "re-serialised", good, json.dumps(json.loads(BODY)).encode()
    yield "hex for base64", {**good, "webhook-signature": f"v1,{hexed}"}, BODY
    yield "another id", {**good, "webhook-id": "msg_2"}, BODY
    yield "another timestamp", {**good, "webhook-timestamp": str(NOW_S - 1)}, BODY
    yield "another secret", signed(secret=OTHER_SECRET), BODY
    yield "good after a bad one", {**good, "webhook-signature": "v1," + "A" * 43 + "= " + sig}, BODY
    yield "good after a foreign version", {**good, "webhook-signature": "v1a,AAAA " + sig}, BODY
    yield "foreign version only", {**good, "webhook-signature": sig.replace("v1,", "v2,")}, BODY
    yield "no version", {**good, "webhook-signature": sig.removeprefix("v1,")}, BODY
    yield "timestamp is a word", {**good, "webhook-timestamp": "now"}, BODY
    for seconds in (-299, -301, 299, 301, 100_000, -100_000):
        yield f"{seconds:+} s", signed(at_s=NOW_S + seconds), BODY
    for name in good:
        yield f"without {name}", {key: value for key, value in good.items() if key != name}, BODY


@pytest.mark.parametrize(
    ("what", "headers", "body"), list(tampered()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_verdict_is_that_of_the_reference_library(what: str, headers: dict[str, str], body: bytes) -> None:
    ours = generic(headers, STANDARD_SECRET, body=body)
    assert (ours is None) == judged(headers, body), f"{what}: {ours}"


def test_the_matrix_has_both_verdicts() -> None:
    verdicts = {judged(headers, body) for _, headers, body in tampered()}
    assert verdicts == {True, False}


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (signed(at_s=NOW_S - 301), "stale_timestamp"),
        (signed(at_s=NOW_S + 301), "stale_timestamp"),
        (signed(secret=OTHER_SECRET, at_s=NOW_S - 301), "wrong_signature"),
        ({**signed(), "webhook-timestamp": "1e9"}, "malformed_signature"),
        ({**signed(), "webhook-timestamp": "-5"}, "malformed_signature"),
        ({**signed(), "webhook-signature": "v2,AAAA"}, "malformed_signature"),
    ],
)
def test_the_reason_says_what_to_mend(headers: dict[str, str], reason: str) -> None:
    assert generic(headers, STANDARD_SECRET) == reason


def test_either_of_two_secrets_may_have_signed_a_standard_message() -> None:
    assert generic(signed(secret=OTHER_SECRET), STANDARD_SECRET, OTHER_SECRET) is None


def test_a_secret_without_the_prefix_is_used_as_typed() -> None:
    signature = base64.b64encode(
        hmac.new(b"plain words", b"m." + str(NOW_S).encode() + b"." + BODY, hashlib.sha256).digest()
    )
    headers = {"webhook-id": "m", "webhook-timestamp": str(NOW_S), "webhook-signature": "v1," + signature.decode()}
    assert generic(headers, "plain words") is None


def test_a_secret_that_is_no_base64_signs_nothing() -> None:
    assert generic(signed(), "whsec_!!!") == "wrong_signature"
    assert generic(signed(), "whsec_") == "wrong_signature"


# ── Whatever comes ───────────────────────────────────────────────────────────────────────────────────────────────────

NAMES = st.sampled_from(sorted(kept_headers("shopify") | kept_headers("generic"))) | st.text(max_size=20)
VALUES = st.text(st.characters(exclude_categories=()), max_size=120) | st.sampled_from(
    ["v1,", "v1,=", "v1, v1,", "sha256=" + "0" * 64, "٣" * 10, "9" * 12, "=" * 44, "A" * 43 + "="]
)


@given(
    st.sampled_from(["shopify", "generic", "x"]),
    st.binary(max_size=50),
    st.dictionaries(NAMES, VALUES, max_size=6),
    st.lists(st.text(st.characters(exclude_categories=()), max_size=20), max_size=3),
)
def test_nothing_that_was_not_signed_passes_and_nothing_raises(
    platform: str, body: bytes, headers: dict[str, str], secrets: list[str]
) -> None:
    assert verify(platform, body=body, headers=headers, secrets=secrets, now_s=NOW_S) is not None
