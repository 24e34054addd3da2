"""Every way of connecting a shop against one table of tampering: the same answer everywhere, or the reason why it is another.

Each vendor's own library is the other side in the tests of its scheme; here the simulator signs (demo/simulator).
"""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.platforms.kit.digests import QUERY
from app.platforms.signing import verify
from demo.simulator.messages import Message
from tests.checkouts.signing import CHECKOUTS, SECRET, Checkout

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BODY = '{"id": 1,  "note": "café", "amount": "49.90"}'.encode()
SIGNING = [each for each in CHECKOUTS.values() if each.platform != "postback"]
TIMED = {"stripe", "standard", "paddle", "polar", "prestashop", "medusa", "vendure"}
"""Their signature holds a time; the others' messages can be repeated for ever, and are known again by their bytes."""
LISTED = {"stripe": ",v1={}", "standard": " v1,{}", "polar": " v1,{}", "paddle": ";h1={}"}
"""How a second signature is written behind the first, where there may be several."""
ANY_CASE = {"lemonsqueezy", "medusa", "vendure", "generic", "paddle", "prestashop", "saleor", "shopware"}
"""Take hex in capitals as well."""
EITHER = {"generic"}
"""Takes hex and base64 alike: two spellings of one digest."""


def verdict(checkout: Checkout, sent: Message, *secrets: str, at: datetime = NOW) -> str | None:
    return verify(
        checkout.platform,
        body=sent.body,
        headers={**sent.headers, QUERY: sent.query},
        secrets=secrets or (SECRET,),
        now_s=at.timestamp(),
        settings=checkout.settings,
    )


def good(checkout: Checkout, at: datetime = NOW) -> Message:
    return checkout.sends(BODY, at)


def rewritten(sent: Message, change: Callable[[str], str]) -> Message:
    """With another digest, in the header that holds it."""
    name = next(name for name in sent.headers if name.lower().endswith(("signature", "sha256")))
    return replace(sent, headers={**sent.headers, name: change(sent.headers[name])})


def digest_of(text: str) -> tuple[str, str]:
    """What stands before the digest in a header, and the digest."""
    for mark in ("v1=", "h1=", "v1,", "sha256="):
        if mark in text:
            before, digest = text.split(mark, 1)
            return before + mark, digest
    return "", text


def in_the_other_encoding(text: str) -> str:
    before, digest = digest_of(text)
    if len(digest) == 64:
        return before + base64.b64encode(bytes.fromhex(digest)).decode()
    return before + base64.b64decode(digest).hex()


def table() -> Iterator[tuple[str, Callable[[Checkout], Message], str | None]]:
    """What was done to the message, how, and the word; None: it passes."""
    yield "nothing", good, None
    yield (
        "names in capitals",
        lambda c: replace(good(c), headers={n.upper(): t for n, t in good(c).headers.items()}),
        None,
    )
    yield (
        "names in lower case",
        lambda c: replace(good(c), headers={n.lower(): t for n, t in good(c).headers.items()}),
        None,
    )
    yield "spaces around", lambda c: rewritten(good(c), lambda text: f"  {text} "), None
    for what, body in (
        ("a newline more", BODY + b"\n"),
        ("a byte order mark", b"\xef\xbb\xbf" + BODY),
        ("re-serialised", json.dumps(json.loads(BODY)).encode()),
        (
            "re-serialised without spaces",
            json.dumps(json.loads(BODY), separators=(",", ":"), ensure_ascii=False).encode(),
        ),
        ("decomposed accents", BODY.decode().replace("é", "e\u0301").encode()),
        ("no body", b""),
    ):
        yield what, lambda c, body=body: replace(good(c), body=body), "wrong_signature"  # type: ignore[misc]
    yield "no headers", lambda c: Message(BODY), "missing_signature"
    yield "cut short", lambda c: rewritten(good(c), lambda text: text[:-2]), "malformed_signature"
    yield "one character more", lambda c: rewritten(good(c), lambda text: text + "A"), "malformed_signature"
    yield "a word", lambda c: rewritten(good(c), lambda text: digest_of(text)[0] + "signature"), "malformed_signature"
    yield "nothing behind the name", lambda c: rewritten(good(c), lambda text: digest_of(text)[0]), ""
    yield "of another message", lambda c: Message(BODY, c.sends(b"{}", NOW).headers), "wrong_signature"


@pytest.mark.parametrize("checkout", SIGNING, ids=lambda each: each.name)
@pytest.mark.parametrize(
    ("what", "tamper", "expected"), list(table()), ids=lambda each: each if isinstance(each, str) else ""
)
def test_one_verdict_whoever_signs(
    checkout: Checkout, what: str, tamper: Callable[[Checkout], Message], expected: str | None
) -> None:
    found = verdict(checkout, tamper(checkout))
    if expected == "":
        assert found in ("missing_signature", "malformed_signature")
    else:
        assert found == expected


@pytest.mark.parametrize("checkout", SIGNING, ids=lambda each: each.name)
def test_a_digest_in_the_other_encoding_is_malformed_unless_both_are_meant(checkout: Checkout) -> None:
    found = verdict(checkout, rewritten(good(checkout), in_the_other_encoding))
    assert found == (None if checkout.name in EITHER else "malformed_signature")


@pytest.mark.parametrize("checkout", SIGNING, ids=lambda each: each.name)
@pytest.mark.parametrize(
    ("seconds", "passes"), [(-301, False), (-300, True), (300, True), (301, False), (-86_400, False), (86_400, False)]
)
def test_a_signed_time_must_be_near_on_both_sides(checkout: Checkout, seconds: int, passes: bool) -> None:
    found = verdict(checkout, good(checkout, NOW + timedelta(seconds=seconds)))
    assert found == (None if passes or checkout.name not in TIMED else "stale_timestamp")


@pytest.mark.parametrize("checkout", SIGNING, ids=lambda each: each.name)
def test_a_wrong_signature_is_wrong_however_old(checkout: Checkout) -> None:
    old = replace(good(checkout, NOW - timedelta(days=1)), body=b"{}")
    assert verdict(checkout, old) == "wrong_signature"


@pytest.mark.parametrize("checkout", SIGNING, ids=lambda each: each.name)
def test_any_of_several_secrets_and_no_other(checkout: Checkout) -> None:
    other = "whsec_" + base64.b64encode(b"another secret").decode()
    assert verdict(checkout, good(checkout), other, SECRET) is None
    assert verdict(checkout, good(checkout), SECRET, other) is None
    assert verdict(checkout, good(checkout), other) == "wrong_signature"
    assert verdict(checkout, good(checkout), "") == "no_secret"


@pytest.mark.parametrize("name", sorted(LISTED))
def test_one_right_signature_among_several_is_enough(name: str) -> None:
    checkout, form = CHECKOUTS[name], LISTED[name]
    zeros = "A" * 43 + "=" if name in ("standard", "polar") else "0" * 64
    _, right = digest_of(
        next(text for key, text in good(checkout).headers.items() if key.lower().endswith("signature"))
    )
    behind = rewritten(good(checkout), lambda text: text + form.format(zeros))
    before = rewritten(good(checkout), lambda text: digest_of(text)[0] + zeros + form.format(right))
    neither = rewritten(good(checkout), lambda text: digest_of(text)[0] + zeros + form.format(zeros))
    assert (verdict(checkout, behind), verdict(checkout, before)) == (None, None)
    assert verdict(checkout, neither) == "wrong_signature"


@given(st.sampled_from(SIGNING), st.integers(0, len(BODY) * 8 - 1))
def test_no_bit_of_the_body_may_change(checkout: Checkout, bit: int) -> None:
    spoilt = bytearray(BODY)
    spoilt[bit // 8] ^= 1 << bit % 8
    assert verdict(checkout, replace(good(checkout), body=bytes(spoilt))) == "wrong_signature"


@given(st.sampled_from(SIGNING), st.data())
def test_no_bit_of_a_header_may_change_its_meaning(checkout: Checkout, data: st.DataObject) -> None:
    """Another spelling of the same digest (hex in capitals) passes; another digest, time or id does not, and nothing raises."""
    sent = good(checkout)
    name = data.draw(st.sampled_from(sorted(sent.headers)))
    text = bytearray(sent.headers[name].encode())
    bit = data.draw(st.integers(0, len(text) * 7 - 1))
    text[bit // 7] ^= 1 << bit % 7
    changed = text.decode()
    found = verdict(checkout, replace(sent, headers={**sent.headers, name: changed}))
    written, read = sent.headers[name], changed.strip()
    (before, digest), (before_it, digest_it) = digest_of(written), digest_of(read)
    same = read == written or (checkout.name in ANY_CASE and before == before_it and digest == digest_it.lower())
    assert (found is None) == same, (changed, found)


def test_a_postback_is_guarded_by_its_token_alone() -> None:
    for checkout in (each for each in CHECKOUTS.values() if each.platform == "postback"):
        sent = checkout.sends(b"", NOW, query="order_id=1&amount=2.00")
        assert verdict(checkout, sent) is None
        assert verdict(checkout, replace(sent, query=sent.query.replace(SECRET[:6], "whsed_"))) == "wrong_signature"
        assert verdict(checkout, replace(sent, query="order_id=1&amount=2.00")) == "missing_signature"
        assert verdict(checkout, replace(sent, query=f"{sent.query}&token=another")) == "malformed_signature"
