"""What is kept of who clicked: truncated addresses, visitor hashes, referrer hosts; and who is a person."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.browsers import (
    BOT,
    HEAD,
    HUMAN,
    PREFETCH,
    PREVIEW,
    TEST,
    TRIAL_USER_AGENT,
    click_class,
    countries,
    read_user_agent,
)
from app.domain.visitors import DAY_MS, referrer_host, truncate_address, visitor_of, visitors_of_day

SAMPLES = Path(__file__).parent.parent / "samples"
CORPUS = json.loads((SAMPLES / "user_agents.json").read_text())
# Browsers inside apps, phones whose names or build ids look like programs, and the fetchers that impersonate them.
IN_APP = json.loads((SAMPLES / "in_app_agents.json").read_text())
PEOPLE = [(app, user_agent) for kind, app, user_agent in IN_APP if kind == "human"]
PREVIEWS = [user_agent for kind, _, user_agent in IN_APP if kind == "preview"]


def visitor_hash(key: bytes, brand_id: str, at_ms: int, network: str, user_agent: str) -> int:
    return visitor_of(visitors_of_day(key, brand_id, at_ms), network, user_agent)


@pytest.mark.parametrize(("name", "user_agent", "is_machine"), CORPUS, ids=[row[0] for row in CORPUS])
def test_the_sample_corpus_is_told_apart(name: str, user_agent: str, is_machine: bool) -> None:
    assert (read_user_agent(user_agent).click_class != HUMAN) == is_machine


@pytest.mark.parametrize(("app", "user_agent"), PEOPLE)
def test_nobody_in_an_app_or_on_an_odd_phone_is_taken_for_a_bot(app: str | None, user_agent: str) -> None:
    browser = read_user_agent(user_agent)
    assert browser.click_class == HUMAN
    assert browser.in_app == app
    assert browser.device in {"mobile", "desktop"}


@pytest.mark.parametrize("user_agent", PREVIEWS)
def test_what_draws_the_card_under_a_shared_link_is_a_preview(user_agent: str) -> None:
    assert read_user_agent(user_agent).click_class == PREVIEW


@pytest.mark.parametrize("user_agent", ["", "   ", "python-requests/2.32.0", "AhrefsBot/7.0", "Zorglub site checker 3"])
def test_no_name_and_programs_are_bots(user_agent: str) -> None:
    assert read_user_agent(user_agent).click_class == BOT


def test_device_system_and_browser_are_named_plainly() -> None:
    ipad = read_user_agent(
        "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
    )
    assert (ipad.device, ipad.os, ipad.browser) == ("tablet", "iOS", "Safari")
    tablet = read_user_agent(
        "Mozilla/5.0 (Linux; Android 14; SM-X710) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
    )
    assert (tablet.device, tablet.os, tablet.browser) == ("tablet", "Android", "Chrome")
    mac = read_user_agent(PEOPLE[-3][1])
    assert (mac.device, mac.os, mac.browser) == ("desktop", "macOS", "Safari")


def test_a_request_that_says_it_is_no_visit_is_believed() -> None:
    person = read_user_agent(PEOPLE[0][1])
    assert click_class(person, "") == HUMAN
    assert click_class(person, "head") == HEAD
    assert click_class(person, "prefetch") == PREFETCH


def test_only_the_trial_of_a_source_clicks_in_test_mode() -> None:
    assert read_user_agent(TRIAL_USER_AGENT).click_class == TEST
    assert read_user_agent(f"Mozilla/5.0 {TRIAL_USER_AGENT}").click_class != TEST
    assert read_user_agent(f"{TRIAL_USER_AGENT} by hand").click_class != TEST


@given(st.text(max_size=300))
def test_any_text_at_all_is_read(text: str) -> None:
    assert read_user_agent(text).click_class in {HUMAN, BOT, PREVIEW}
    assert truncate_address(text) == "" or text.strip()
    assert "\x00" not in referrer_host(text)


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("203.0.113.77", "203.0.113.0"),
        (" 203.0.113.77 ", "203.0.113.0"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
        ("203.0.113.255", "203.0.113.0"),
        ("2001:db8:1:2:3::4", "2001:db8:1::"),
        ("2001:db8:1:ffff::", "2001:db8:1::"),
        ("fe80::1%eth0", "fe80::"),
        ("203.0.113.77%eth0", "203.0.113.0"),
        ("203.0.113", ""),
        ("unknown", ""),
        ("", ""),
    ],
)
def test_of_an_address_only_the_network_is_kept(address: str, kept: str) -> None:
    assert truncate_address(address) == kept


def test_countries_come_from_the_network() -> None:
    assert countries(["90.12.3.0", "8.8.8.0", "10.0.0.0", "", "nonsense"]) == ["FR", "US", None, None, None]


def test_a_visitor_is_the_same_all_day_and_nobody_tomorrow_elsewhere_or_without_the_key() -> None:
    morning = 20_000 * DAY_MS
    visitor = visitor_hash(b"k" * 32, "brand", morning, "203.0.113.0", "browser")
    assert visitor_hash(b"k" * 32, "brand", morning + DAY_MS - 1, "203.0.113.0", "browser") == visitor
    others = {
        visitor_hash(b"k" * 32, "brand", morning + DAY_MS, "203.0.113.0", "browser"),
        visitor_hash(b"k" * 32, "rival", morning, "203.0.113.0", "browser"),
        visitor_hash(b"l" * 32, "brand", morning, "203.0.113.0", "browser"),
        visitor_hash(b"k" * 32, "brand", morning, "203.0.114.0", "browser"),
        visitor_hash(b"k" * 32, "brand", morning, "203.0.113.0", "other browser"),
    }
    assert len(others | {visitor}) == 6
    assert 0 <= visitor < 1 << 63
    # In every release: another hash in the middle of a day would count its visitors twice.
    assert visitor == 1603063110723268311


@given(st.text(), st.text())
def test_any_header_makes_a_visitor_that_fits_a_bigint(address: str, user_agent: str) -> None:
    assert 0 <= visitor_hash(b"key", "brand", 0, address, user_agent + "\udc80") < 1 << 63


@pytest.mark.parametrize(
    ("referrer", "host"),
    [
        ("https://l.instagram.com/?u=https%3A%2F%2Fshop&e=x", "l.instagram.com"),
        ("https://WWW.TikTok.com/@lea", "tiktok.com"),
        ("android-app://com.google.android.gm/", "com.google.android.gm"),
        ("https://user:secret@example.org:8443/private/path", "example.org"),
        ("http://a_b-c.example/", "a_b-c.example"),
        ("http://[2001:db8::1]/", "2001:db8::1"),
        ("http://" + "a" * 253 + "/", "a" * 253),
        ("http://" + "a" * 254 + "/", ""),
        ("http://[::1", ""),
        ("http:///path", ""),
        ("ftp://example.org/", ""),
        ("https://X.example/", "x.example"),
        ("https://shop*.example/", ""),
        ("about:blank", ""),
        ("javascript:alert(1)", ""),
        ("https://a\x00b/", ""),
        ("", ""),
    ],
)
def test_of_a_referrer_only_the_host_is_kept(referrer: str, host: str) -> None:
    assert referrer_host(referrer) == host
