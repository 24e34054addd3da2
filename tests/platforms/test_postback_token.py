"""The token of a postback: taken out of what is kept, and still enough to check the message again."""

import json
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.platforms.postback.signature import conceal
from app.platforms.registry import PLATFORMS
from app.platforms.signing import forget, verify

SECRET = "a secret, with & and é"
SHOWN = quote_plus(SECRET)


def check(query: str, body: bytes, *secrets: str, headers: dict[str, str] | None = None) -> str | None:
    return verify("postback", body=body, headers={**(headers or {}), ":query": query}, secrets=secrets, now_s=0)


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (f"order_id=1&token={SHOWN}", b""),
        (f"verification_token={SHOWN}", b""),
        (f"a=1&security_token={SHOWN}&b=2", b""),
        (f"order_id=1&TOKEN={SHOWN}", b""),
        ("order_id=1", f"amount=5&token={SHOWN}".encode()),
        ("", json.dumps({"order_id": "1", "token": SECRET}).encode()),
        ("", json.dumps({"order_id": "1", "token": SECRET}, ensure_ascii=False, indent=1).encode()),
        (f"token={SHOWN}", json.dumps({"order_id": "1", "token": SECRET}).encode()),
        # Names escaped, as their reader reads them all the same.
        (f"order_id=1&%74oken={SHOWN}", b""),
        (f"verification%5Ftok%65n={SHOWN}&order_id=1", b""),
        (f"order_id=1&+TO%4BEN%20={SHOWN}", b""),
        ("", f"order_id=1&tok%65n={SHOWN}".encode()),
        ("", json.dumps({"order_id": "1", "token": SECRET}).replace("token", "tok\\u0065n").encode()),
        ("", json.dumps({"order_id": "1", " Token ": SECRET}).encode()),
        ("", b"\xef\xbb\xbf" + json.dumps({"order_id": "1", "token": SECRET}).encode()),
    ],
)
def test_a_token_passes_wherever_it_stands_and_is_kept_nowhere(query: str, body: bytes) -> None:
    assert check(query, body, "another secret", SECRET) is None
    assert check(query, body, "another secret") == "wrong_signature"
    kept_query, headers, kept_body = conceal(query, {}, body)
    kept = (kept_query + json.dumps(headers)).encode() + kept_body
    for spelling in (SECRET, SHOWN, json.dumps(SECRET)[1:-1], SECRET[:8]):
        assert spelling.encode() not in kept
    # Kept, and checked again when the secret is mended; under a wrong one it stays refused.
    assert check(kept_query, kept_body, "old one, mistyped", SECRET, headers=headers) is None
    assert check(kept_query, kept_body, "old one, mistyped", headers=headers) == "wrong_signature"
    assert conceal(kept_query, headers, kept_body) == (kept_query, headers, kept_body)


def test_the_proof_of_one_message_proves_no_other() -> None:
    query, headers, body = conceal(f"order_id=1&amount=5.00&token={SHOWN}", {}, b"")
    assert check(query.replace("5.00", "9.00"), body, SECRET, headers=headers) == "wrong_signature"


@pytest.mark.parametrize(
    ("query", "body", "reason"),
    [
        ("order_id=1", b"", "missing_signature"),
        ("order_id=1&token=", b"", "missing_signature"),
        ("order_id=1&token=hidden", b"", "missing_signature"),
        ("", b'{"token": null}', "missing_signature"),
        ("token=guessed", b"", "wrong_signature"),
        ("", b'{"token": 12345678}', "wrong_signature"),
        (f"token=guessed&token={SHOWN}", b"", "malformed_signature"),
        (f"token={SHOWN}&security_token=guessed", b"", "malformed_signature"),
        (f"token={SHOWN}", b'{"token": "guessed"}', "malformed_signature"),
    ],
)
def test_what_does_not_pass_says_why(query: str, body: bytes, reason: str) -> None:
    assert check(query, body, SECRET) == reason


@pytest.mark.parametrize(
    "body", [b'{"order_id": "1", "token": "s3cret-s3cret', b'{"token": s3cret-s3cret}', b'[{"token":"s3cret-s3cret"}']
)
def test_a_token_in_a_body_that_cannot_be_read_is_taken_out_too(body: bytes) -> None:
    _, headers, kept = conceal("", {}, body)
    assert b"s3cret" not in kept + json.dumps(headers).encode()


FORM = (
    "--b\r\nContent-Disposition: form-data; name=order_id\r\n\r\n1\r\n--b\r\nContent-Disposition: form-data; name={name}\r\n"
    "Content-Type: text/plain\r\n\r\n{token}\r\n--b--\r\n"
)


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("token[]=s3cret", b""),
        ("order_id=1&token[0]=s3cret&token[1]=s3cret", b""),
        ("token%5B%5D=s3cret&order_id=1", b""),
        ("order_id=1&with[token]=s3cret", b""),
        ("order_id=1&with%5btoken%5d=s3cret", b""),
        ("order_id=1?token=s3cret", b""),
        ("order_id=1;token=s3cret", b""),
        ("", b"order_id=1&token[]=s3cret"),
        ("", b'{"order_id": "1", "token": ["s3cret"]}'),
        ("", b'{"token": ["x", {"a": "s3cret"}], "order_id": "1"}'),
        ("", b'{"token": {"value": "s3cret"}, "order_id": "1"}'),
        ("", b'{"order_id": "1", "t\\u006fken" : [["s3cret"]]}'),
        ("", b'[{"order_id": "1", "token": ["s3cret"]}]'),
        ("", b'{"order_id": "1", "token": ["s3cret'),
        ("", b'{"token": ' + b"[" * 100_000 + b'"s3cret"'),
        ("", FORM.format(name='"token"', token="s3cret").encode()),
        ("", FORM.format(name="Verification_Token", token="s3cret\r\ns3cret").encode()),
        ("", FORM.format(name='"token[]"; filename="a"', token="s3cret").encode()),
        ("", FORM.format(name='"token"', token="s3cret").replace("\r", "").encode()),
        ("", FORM.format(name='"token"', token="s3cret").encode().rpartition(b"\r\n--")[0]),
    ],
)
def test_a_token_where_no_postback_carries_it_proves_nothing_and_is_kept_nowhere(query: str, body: bytes) -> None:
    assert check(query, body, "s3cret") == "missing_signature"
    kept_query, headers, kept_body = conceal(query, {}, body)
    assert b"s3cret" not in (kept_query + json.dumps(headers)).encode() + kept_body
    assert conceal(kept_query, headers, kept_body) == (kept_query, headers, kept_body)
    assert b"order_id" in kept_query.encode() + kept_body or b"order_id" not in query.encode() + body, "the rest stays"


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (f"order_id=1&pass={SHOWN}", b""),
        ("order_id=1", f"<order><id>1</id><key>{SECRET}</key></order>".encode()),
        ("order_id=1", json.dumps({"auth": [SECRET]}).encode()),
        ("order_id=1", f"auth:{quote(SECRET, safe='').lower()}".encode()),
    ],
)
def test_the_sources_own_secret_is_kept_nowhere_whatever_the_shape(query: str, body: bytes) -> None:
    assert check(query, body, SECRET) == "missing_signature"
    kept_query, headers, kept_body = conceal(query, {}, body)
    kept_query, kept_body = forget("postback", kept_query, headers, kept_body, ["", "1", SECRET])
    assert SECRET[:8].encode() not in kept_body + kept_query.encode()
    assert b"order_id=1" in kept_query.encode()
    assert b"hidden" in kept_query.encode() + kept_body


def test_what_can_be_checked_again_is_not_touched() -> None:
    query, headers, body = conceal(f"token=guessed&pass={SHOWN}", {}, b"")
    assert forget("postback", query, headers, body, [SECRET]) == (query, body)
    assert forget("shopify", "q", {}, SECRET.encode(), [SECRET]) == ("q", SECRET.encode())


def test_many_tokens_that_lead_nowhere_take_no_time() -> None:
    for piece in (
        b'name="token"\r\n',
        b'"token":[',
        b'"token":[],',
        b"token[",
        b"[token",
        b"name=token\r\n\r\n",
        b'"token": {"',
    ):
        started = time.process_time()
        conceal("", {}, piece * (250_000 // len(piece)))
        assert time.process_time() - started < 2, piece


def test_without_a_secret_the_address_is_the_guard() -> None:
    assert check("order_id=1", b"") is None
    assert check("order_id=1&token=whatever", b"") is None


def test_secrets_that_cannot_be_opened_are_not_no_secrets() -> None:
    assert check(f"token={SHOWN}", b"", "") == "no_secret"


def test_a_message_without_a_token_is_kept_to_the_byte_and_other_platforms_are_left_alone() -> None:
    body = bytes(range(256))
    assert conceal("a=%zz&&=&b", {"content-type": "x"}, body) == ("a=%zz&&=&b", {"content-type": "x"}, body)
    assert PLATFORMS["shopify"].conceal("token=mine", {}, b"token=mine", {}) == ("token=mine", {}, b"token=mine")


PIECES = st.sampled_from(
    [
        "token",
        "TOKEN",
        "security_token",
        "=",
        "&",
        "{",
        "}",
        "[",
        "]",
        '"',
        ":",
        ",",
        "\\",
        "hidden",
        "amp;",
        " ",
        "%",
        "?",
        'name="token"\n\n',
    ]
)
TEXTS = st.lists(PIECES | st.text(st.characters(max_codepoint=255), max_size=4), max_size=12).map("".join)


@given(TEXTS, st.binary(max_size=40) | TEXTS.map(lambda text: text.encode("latin-1")))
def test_nothing_raises_nothing_unproven_passes_and_twice_is_as_once(query: str, body: bytes) -> None:
    assert check(query, body, "a secret nobody writes") is not None
    once = conceal(query, {}, body)
    assert conceal(*once) == once
