"""What a message says about when it was sent."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.platforms.registry import PLATFORMS
from app.platforms.sender_clock import clock_skew_ms, sent_at

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECONDS = int(NOON.timestamp())


@pytest.mark.parametrize(
    ("platform", "headers"),
    [
        ("shopify", {"x-shopify-triggered-at": "2026-11-22T12:00:00.000000000Z"}),
        ("shopify", {"shopify-triggered-at": "2026-11-22T13:00:00+01:00"}),
        ("generic", {"webhook-timestamp": f"{SECONDS}"}),
        ("stripe", {"stripe-signature": f"t={SECONDS},v1=abc,v0=def"}),
    ],
)
def test_every_way_to_say_a_time_is_read(platform: str, headers: dict[str, str]) -> None:
    assert sent_at(platform, headers) == NOON


@pytest.mark.parametrize(
    ("platform", "headers"),
    [
        *((platform, {}) for platform in PLATFORMS),
        ("unheard", {"webhook-timestamp": f"{SECONDS}"}),
        ("shopify", {"x-shopify-triggered-at": "yesterday"}),
        ("generic", {"webhook-timestamp": "1e9"}),
        ("generic", {"webhook-timestamp": "-1"}),
        ("generic", {"webhook-timestamp": "999999999999"}),
        ("stripe", {"stripe-signature": "v1=abc"}),
        ("stripe", {"stripe-signature": "t=,v1=abc"}),
    ],
)
def test_what_is_no_time_is_none(platform: str, headers: dict[str, str]) -> None:
    assert sent_at(platform, headers) is None


@given(
    st.sampled_from(sorted(PLATFORMS)),
    st.dictionaries(st.sampled_from(["webhook-timestamp", "stripe-signature", "x-shopify-triggered-at"]), st.text()),
)
def test_whatever_a_header_holds_it_never_raises(platform: str, headers: dict[str, str]) -> None:
    assert clock_skew_ms(platform, [(headers, NOON)]) is None or sent_at(platform, headers) is not None


def test_a_source_that_describes_its_own_signature_is_read_by_it() -> None:
    header = {"paddle-signature": f"ts={SECONDS};h1=abc"}
    assert sent_at("generic", header, {"preset": "paddle"}) == NOON
    assert sent_at("generic", header) is None
    assert sent_at("generic", {"x-ariane-timestamp": f"{SECONDS}"}, {"preset": "prestashop"}) == NOON
    own = {"signature": {"header": "X-Signature", "timestamp_key": "at", "separator": "|"}}
    assert sent_at("generic", {"x-signature": f"v=abc|at={SECONDS}"}, own) == NOON
    assert sent_at("generic", {"x-signature": f"v=abc|at={SECONDS}"}, {"signature": "odd"}) is None


def test_the_skew_is_the_median_so_that_one_retry_does_not_move_it() -> None:
    def message(late: float) -> tuple[dict[str, str], datetime]:
        return {"webhook-timestamp": f"{SECONDS}"}, NOON + timedelta(seconds=late)

    assert clock_skew_ms("generic", [message(1), message(2), message(4 * 3_600)]) == -2_000
    assert clock_skew_ms("generic", [message(-400), message(-400)]) == 400_000
    assert clock_skew_ms("generic", [({}, NOON)]) is None
    assert clock_skew_ms("generic", []) is None
