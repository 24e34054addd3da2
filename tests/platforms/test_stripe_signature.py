"""Stripe's signatures, judged by Stripe's own library: the same verdict over every way a message can be spoilt, stricter where we say why."""

import hashlib
import hmac
import json

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from app.platforms.kit.digests import SIGNATURES_MAX, TOLERANCE_S
from app.platforms.signing import kept_headers, verify
from demo.simulator import DOCUMENTS

NOW_S = 1_795_305_200
SECRET = "whsec_c2VjcmV0LW9mLWEtc2hvcA=="
BODY = (DOCUMENTS / "stripe_event_checkout_session_completed.json").read_bytes()


def sign(body: bytes = BODY, secret: str = SECRET, at_s: int = NOW_S) -> str:
    return hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()


def header(body: bytes = BODY, secret: str = SECRET, at_s: int = NOW_S) -> str:
    return f"t={at_s},v1={sign(body, secret, at_s)}"


def ours(given: str, body: bytes = BODY, *secrets: str) -> str | None:
    return verify("stripe", body=body, headers={"Stripe-Signature": given}, secrets=secrets or (SECRET,), now_s=NOW_S)


def stripes(given: str, body: bytes = BODY, secret: str = SECRET) -> bool:
    # Dear to import, here and below: a process that only collects this file does not pay for it.
    from stripe import SignatureVerificationError, WebhookSignature

    with time_machine.travel(NOW_S, tick=False):
        try:
            return bool(WebhookSignature.verify_header(body, given, secret, tolerance=TOLERANCE_S))
        except SignatureVerificationError:
            return False


def test_the_vendors_library_signs_and_we_agree() -> None:
    from stripe import WebhookSignature

    made = WebhookSignature.generate_signature_header(BODY.decode(), SECRET, NOW_S)
    assert made == header()
    assert ours(made) is None
    assert stripes(made)


RESERIALISED = json.dumps(json.loads(BODY), separators=(",", ":")).encode()
OTHER = "whsec_another"
TAMPERED = {
    "as sent": (header(), BODY),
    "a trailing newline": (header(), BODY + b"\n"),
    "a leading byte order mark": (header(), b"\xef\xbb\xbf" + BODY),
    "re-serialised JSON": (header(), RESERIALISED),
    "signed as it was re-serialised": (header(RESERIALISED), RESERIALISED),
    "an empty body": (header(), b""),
    "an empty body that was signed": (header(b""), b""),
    "another secret": (header(secret=OTHER), BODY),
    "the secret without its prefix": (header(secret=SECRET.removeprefix("whsec_")), BODY),
    "the body alone signed": (f"t={NOW_S},v1={hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()}", BODY),
    "base64 for hex": (f"t={NOW_S},v1=5p3mZ8sRkGk2vJq8yTtY1bW0xQe7uVn4oLh6dCfAIsE=", BODY),
    "capitals in the signature": (f"t={NOW_S},v1={sign().upper()}", BODY),
    "one character short": (f"t={NOW_S},v1={sign()[:-1]}", BODY),
    "an older and a newer secret": (f"t={NOW_S},v1={sign(secret=OTHER)},v1={sign()}", BODY),
    "a newer and an older secret": (f"t={NOW_S},v1={sign()},v1={sign(secret=OTHER)}", BODY),
    "a test event's other scheme beside it": (f"t={NOW_S},v1={sign()},v0={sign(secret=OTHER)}", BODY),
    "another scheme alone": (f"t={NOW_S},v0={sign()}", BODY),
    "a later scheme alone": (f"t={NOW_S},v2={sign()}", BODY),
    "the scheme in capitals": (f"t={NOW_S},V1={sign()}", BODY),
    "the signature before the time": (f"v1={sign()},t={NOW_S}", BODY),
    "no time": (f"v1={sign()}", BODY),
    "another time than was signed": (f"t={NOW_S + 1},v1={sign()}", BODY),
    "two times, the signed one first": (f"t={NOW_S},t={NOW_S + 9},v1={sign()}", BODY),
    "two times, the signed one last": (f"t={NOW_S + 9},t={NOW_S},v1={sign()}", BODY),
    "a time that is a word": (f"t=now,v1={sign()}", BODY),
    "a space after the comma": (f"t={NOW_S}, v1={sign()}", BODY),
    "a semicolon for the comma": (f"t={NOW_S};v1={sign()}", BODY),
    "an equals sign behind": (f"t={NOW_S},v1={sign()}=", BODY),
    "an unknown item without a value": (f"t={NOW_S},x,v1={sign()}", BODY),
    "a signature without a value beside a right one": (f"t={NOW_S},v1,v1={sign()}", BODY),
    "a time without a value beside a right one": (f"t={NOW_S},t,v1={sign()}", BODY),
    "no signature": (f"t={NOW_S}", BODY),
    "an empty signature": (f"t={NOW_S},v1=", BODY),
    "just as old as may be": (header(at_s=NOW_S - TOLERANCE_S), BODY),
    "a second too old": (header(at_s=NOW_S - TOLERANCE_S - 1), BODY),
    "just as far ahead as may be": (header(at_s=NOW_S + TOLERANCE_S), BODY),
    "from long ago": (header(at_s=1), BODY),
    "nothing at all": ("", BODY),
    "a header of nonsense": ("é,=,\x7f", BODY),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_both_say_the_same_of(case: str) -> None:
    given, body = TAMPERED[case]
    assert (ours(given, body) is None) == stripes(given, body)


def test_the_matrix_has_both_verdicts() -> None:
    verdicts = [stripes(*case) for case in TAMPERED.values()]
    assert verdicts.count(True) >= 8
    assert verdicts.count(False) >= 20


@given(st.integers(0, len(BODY) * 8 - 1))
def test_no_bit_of_the_body_may_change(bit: int) -> None:
    spoilt = bytearray(BODY)
    spoilt[bit // 8] ^= 1 << bit % 8
    assert ours(header(), bytes(spoilt)) == "wrong_signature"


@given(st.integers(0, len(header()) * 7 - 1))
def test_one_changed_bit_of_the_header_gets_one_verdict_from_both(bit: int) -> None:
    spoilt = bytearray(header().encode())
    spoilt[bit // 7] ^= 1 << bit % 7
    given = spoilt.decode()
    # A header's outer white space is not part of it, and its time must be digits: int() of Python takes more.
    if given.strip() == given and given.partition(",")[0].removeprefix("t=").isdigit():
        assert (ours(given) is None) == stripes(given)
    else:
        assert ours(given) is not None


# ── Stricter, and why ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_time_too_far_ahead_is_refused_though_the_vendors_library_lets_it_pass() -> None:
    """Signed while a clock ran ahead, it could be repeated until the clocks meet."""
    ahead = header(at_s=NOW_S + TOLERANCE_S + 1)
    assert ours(ahead) == "stale_timestamp"
    assert stripes(ahead)


def test_a_header_may_hold_only_so_many_signatures() -> None:
    """Each costs a comparison, and Stripe sends two at most."""
    wrong = [f"v1={'0' * 64}"] * SIGNATURES_MAX
    assert ours(",".join([f"t={NOW_S}", *wrong[1:], f"v1={sign()}"])) is None
    assert ours(",".join([f"t={NOW_S}", *wrong, f"v1={sign()}"])) == "wrong_signature"


@pytest.mark.parametrize("spelled", [f" {NOW_S}", f"+{NOW_S}", "1_795_305_200", "１７９５３０５２００"])
def test_a_time_is_digits(spelled: str) -> None:
    assert ours(f"t={spelled},v1={sign()}") == "malformed_signature"


# ── Words ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_wrong_has_a_word() -> None:
    assert ours("") == "missing_signature"
    assert ours("v1=00") == "malformed_signature"
    assert ours(f"t={NOW_S}") == "malformed_signature"
    assert ours(header(secret=OTHER)) == "wrong_signature"
    assert ours(header(at_s=NOW_S - 301)) == "stale_timestamp"
    # A wrong signature is told as such, whatever its time.
    assert ours(header(secret=OTHER, at_s=NOW_S - 301)) == "wrong_signature"
    assert verify("stripe", body=BODY, headers={"Stripe-Signature": header()}, secrets=[""], now_s=NOW_S) == "no_secret"


def test_any_of_several_secrets_may_have_signed_and_the_header_is_kept() -> None:
    assert ours(header(), BODY, OTHER, SECRET) is None
    assert ours(header(secret=OTHER), BODY, OTHER, SECRET) is None
    assert {"stripe-signature", "content-type"} <= kept_headers("stripe")
    assert verify("stripe", body=BODY, headers={"STRIPE-SIGNATURE": header()}, secrets=[SECRET], now_s=NOW_S) is None
