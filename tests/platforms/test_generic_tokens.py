"""Checkouts that send a fixed token or Basic auth in place of a signature, that sign the address too, and Svix."""

import base64
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest

from app.domain.orders import TRUST_SERVER, TRUST_WEBHOOK
from app.intake.deliveries.messages import Message
from app.platforms.generic.signature import SVIX, faults, read_layout, sign
from app.platforms.generic.trial import trial_messages
from app.platforms.kit.digests import BY_TOKEN, PROOF, URL
from app.platforms.kit.trial import TrialOrder
from app.platforms.registry import PLATFORMS
from app.platforms.signing import kept_headers, verify
from app.random_ids import new_id

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BODY = b'{"order_id": "1"}'
TOKEN: dict[str, Any] = {"signature": {"scheme": "token", "header": "X-Shop-Token"}}
BEARER: dict[str, Any] = {"signature": {"scheme": "token", "header": "Authorization", "prefix": "Bearer "}}
BASIC: dict[str, Any] = {"signature": {"scheme": "basic"}}
URL_SIGNED: dict[str, Any] = {"signature": {"header": "X-Signature", "encoding": "base64", "message": "{url}{body}"}}
SHOP = "https://go.example/in/hook_1"


def taken(settings: dict[str, Any], headers: dict[str, str]) -> dict[str, str]:
    """The headers that the door keeps of a message."""
    kept = {name.lower(): text for name, text in headers.items() if name.lower() in kept_headers("generic", settings)}
    return PLATFORMS["generic"].conceal("", kept, BODY, settings)[1]


def checked(settings: dict[str, Any], headers: dict[str, str], *secrets: str, body: bytes = BODY) -> str | None:
    return verify("generic", body=body, headers=headers, secrets=secrets, now_s=NOW.timestamp(), settings=settings)


@pytest.mark.parametrize(
    ("settings", "headers", "secret"),
    [
        (TOKEN, {"x-shop-token": "let-me-in-1234"}, "let-me-in-1234"),
        (BEARER, {"authorization": "Bearer let-me-in-1234"}, "let-me-in-1234"),
        (BASIC, {"authorization": "Basic " + base64.b64encode(b"shop:pass-word").decode()}, "shop:pass-word"),
    ],
)
def test_a_fixed_token_or_basic_auth_lets_a_message_in_and_is_kept_nowhere(
    settings: dict[str, Any], headers: dict[str, str], secret: str
) -> None:
    assert list(faults(read_layout(settings["signature"]))) == []
    kept = taken(settings, headers)
    assert set(kept) == {PROOF, BY_TOKEN}
    assert not any(secret in text for text in kept.values())
    # As it came, as it was kept, and while the secret is rotated.
    assert checked(settings, headers, secret) is None
    assert checked(settings, kept, secret) is None
    assert checked(settings, kept, "the-next-one", secret) is None
    assert checked(settings, kept, "another") == "wrong_signature"
    assert checked(settings, kept, secret, body=b"{}") == "wrong_signature"
    assert checked(settings, {}, secret) == "missing_signature"
    assert checked(settings, headers) == "no_secret"
    sent = sign(read_layout(settings["signature"]), BODY, secret, at=NOW, message_id="m")
    assert checked(settings, sent, secret) is None


def test_a_token_binds_no_bytes_so_its_messages_are_believed_like_a_call_and_not_like_a_signature() -> None:
    def trust(headers: dict[str, str]) -> int:
        plain = {"id": new_id(), "platform": "generic", "origin_id": None, "shop": "main", "received_at": NOW}
        return Message(headers=headers, body=BODY, **plain).receipt().trust

    assert trust(taken(TOKEN, {"x-shop-token": "let-me-in-1234"})) == TRUST_SERVER
    assert trust({"x-signature": "ab"}) == TRUST_WEBHOOK


def test_the_address_that_the_api_shows_may_be_part_of_what_is_signed() -> None:
    layout = read_layout(URL_SIGNED["signature"])
    assert list(faults(layout)) == []
    assert URL in kept_headers("generic", URL_SIGNED)
    assert URL not in kept_headers("generic", {"signature": {"header": "X-Signature"}})
    headers = {name.lower(): text for name, text in sign(layout, BODY, "s", at=NOW, message_id="", url=SHOP).items()}
    assert checked(URL_SIGNED, {**headers, URL: SHOP}, "s") is None
    assert checked(URL_SIGNED, {**headers, URL: f"{SHOP}x"}, "s") == "wrong_signature"
    assert checked(URL_SIGNED, headers, "s") == "wrong_signature"


@pytest.mark.parametrize("settings", [{}, {"signature": {"scheme": "svix"}}])
def test_svix_is_understood_by_its_headers_and_by_name(settings: dict[str, Any]) -> None:
    secret = "whsec_" + base64.b64encode(b"0123456789abcdef").decode()
    headers = sign(SVIX, BODY, secret, at=NOW, message_id="msg_1")
    assert set(headers) == {"svix-id", "svix-timestamp", "svix-signature"} <= kept_headers("generic", settings)
    assert checked(settings, headers, secret) is None
    assert checked(settings, headers, secret, body=b"{}") == "wrong_signature"
    assert PLATFORMS["generic"].identify(headers)[1] == "msg_1"


@pytest.mark.parametrize(
    ("signature", "field"),
    [
        ({"header": "Authorization"}, "header"),
        ({"scheme": "token", "header": "Cookie"}, "header"),
        ({"scheme": "basic", "message": "{url}{body}"}, "scheme"),
        ({"scheme": "token", "header": "X-T", "timestamp_header": "X-Time"}, "scheme"),
        ({"header": "X-S", "message": "{uri}{body}"}, "message"),
    ],
)
def test_what_means_nothing_beside_a_scheme_is_named(signature: dict[str, Any], field: str) -> None:
    assert field in dict(faults(read_layout(signature)))


def test_a_named_scheme_says_all_by_itself() -> None:
    with pytest.raises(ValueError, match="leave out the other fields"):
        read_layout({"scheme": "svix", "header": "X-Signature"})


def test_a_trial_of_a_brand_with_currencies_of_its_own_is_written_and_carries_the_token() -> None:
    plan = TrialOrder(
        number=7, currency="EUR", net_minor=5_000, refund_minor=2_000, ordered_at=NOW, refunded_at=NOW,
        currencies=MappingProxyType({"IRT": 0}),
    )  # fmt: skip
    [ordered] = trial_messages(plan, "shop:pass-word", BASIC).order
    assert (
        verify(
            "generic", body=ordered.body, headers=ordered.headers, secrets=["shop:pass-word"], now_s=0, settings=BASIC
        )
        is None
    )
