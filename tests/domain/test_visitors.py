"""What is kept of who clicked: truncated addresses, visitor hashes, referrer hosts; and who is a person."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import browsers
from app.domain.browsers import TRIAL_USER_AGENT, click_class, countries, read_user_agent
from app.domain.click_classes import BOT, EMBEDDED, HEAD, HUMAN, OWN, PREFETCH, PREVIEW, TEST
from app.domain.visitors import DAY_MS, referrer_host, split_address, truncate_address, visitor_of, visitors_of_day

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


ANDROID = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("user_agent", "named"),
    [
        (ANDROID, "mobile Android Chrome"),
        (
            ANDROID.replace("Pixel 8", "Pixel 8; wv").replace("Chrome", "Version/4.0 Chrome"),
            "mobile Android Chrome view",
        ),
        (f"{ANDROID} EdgA/131.0.0.0", "mobile Android Edge"),
        (f"{ANDROID} OPR/76.2.4027", "mobile Android Opera"),
        ("Mozilla/5.0 (Android 14; Mobile; rv:132.0) Gecko/132.0 Firefox/132.0", "mobile Android Firefox"),
        (f"{IPHONE} CriOS/131.0.0.0 Mobile/15E148 Safari/604.1", "mobile iOS Chrome"),
        (f"{IPHONE} FxiOS/132.0 Mobile/15E148 Safari/605.1.15", "mobile iOS Firefox"),
        (f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1", "mobile iOS Safari"),
        (f"{IPHONE} Mobile/15E148", "mobile iOS WebKit view"),
        (f"{IPHONE} Mobile/15E148 Twitter for iPhone/10.65", "mobile iOS X"),
        ("Mozilla/5.0 (iphone) Zorglub", "mobile None None"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36", "desktop Windows Chrome"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Tablet PC 2.0) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36",
            "tablet Windows Chrome",
        ),
        ("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) Chrome/131.0.0.0 Safari/537.36", "desktop ChromeOS Chrome"),
        *(
            (f"Mozilla/5.0 (X11; {name}Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0", "desktop Linux Firefox")
            for name in ("Ubuntu; ", "Fedora; ", "Debian; ", "")
        ),
        ("Mozilla/5.0 (Android 14; Tablet; rv:132.0) Gecko/132.0 Firefox/132.0", "tablet Android Firefox"),
        ("Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) Version/6.0 Safari/537.36", "tv Tizen Safari"),
        ("Mozilla/5.0 (Web0S; Linux/SmartTV) Chrome/94.0.4606.128 Safari/537.36", "tv Web0S Chrome"),
        ("Mozilla/5.0 (AppleTV; Zorglub)", "tv ATV OS X None"),
        (ANDROID.replace("Pixel 8", "Nice TV Box"), "tv Android Chrome"),
        ("Mozilla/5.0 (FreeBSD) Firefox/132.0", "None FreeBSD Firefox"),
    ],
)
def test_a_user_agent_names_device_system_and_browser(user_agent: str, named: str) -> None:
    browser = read_user_agent(user_agent)
    assert (browser.click_class, f"{browser.device} {browser.os} {browser.browser}") == (HUMAN, named)


@pytest.mark.parametrize(
    ("app", "names"),
    [
        ("Instagram", "Instagram 300.0|Instagram FBAN/x"), ("Threads", "Barcelona 300.0"), ("Google app", "GSA/300.0"),
        ("Messenger", "[FBAN/MessengerForiOS]|[FB_IAB/Orca-Android]|[FBAN/MessengerLiteForiOS]"),
        ("Facebook", "FBAN/FBIOS|FBAV/400.0|FB_IAB/FB4A|MetaIAB Facebook"),
        ("TikTok", "musical_ly_30|BytedanceWebview/1|trill_30|ByteLocale/fr|TikTok 30"),
        ("Snapchat", "Snapchat/12.1"), ("Pinterest", "[Pinterest/iOS]|Pinterest for iOS"), ("LinkedIn", "LinkedInApp"),
        ("X", "Twitter for iPhone|TwitterAndroid"), ("KakaoTalk", "KAKAOTALK 10"), ("LINE", "Safari Line/14.1"),
        ("WeChat", "MicroMessenger/8.0"), ("Telegram", "Telegram-Android/10"), ("Reddit", "Reddit/2024"), ("Naver", "NAVER(inapp; search)"),
    ],
)  # fmt: skip
def test_the_app_around_a_browser_is_named(app: str, names: str) -> None:
    for name in names.split("|"):
        browser = read_user_agent(f"{IPHONE} {name}")
        assert (browser.click_class, browser.in_app) == (HUMAN, app), name


def test_fetchers_of_previews_are_known_by_their_names() -> None:
    names = (
        "facebookexternalhit/1.1|Facebot|Twitterbot/1.0|Slackbot-LinkExpanding 1.0|Slack-ImgProxy|Discordbot/2.0|TelegramBot|LinkedInBot/1.0"
        "|SkypeUriPreview|Snap URL Preview Service|ThirdLandingPageFeInfra|meta-externalfetcher/1.1|kakaotalk-scrap/1.0|line-poker/1.0"
        "|Pinterest/0.2|Pinterestbot/1.0|redditbot/1.0|vkShare|Viber URL Downloader|Iframely/1.3|Embedly/0.2|Mastodon/4.2|Cardyb/1.1"
        "|Mattermost-Bot/1.1|Microsoft Preview|Google-PageRenderer|GoogleMessages/1|FlipboardProxy/1.2|Tumblr/14|bitlybot/3.0|GoogleImageProxy"
        "|SnapURLPreview/1.0|ms-office"
    )
    for name in names.split("|"):
        browser = read_user_agent(f"Mozilla/5.0 (compatible; {name}; Instagram; iPad)")
        assert (browser.click_class, browser.device, browser.in_app) == (PREVIEW, None, None), name
    assert read_user_agent("WhatsApp/2.24 iPhone").click_class == PREVIEW
    assert read_user_agent(f"{IPHONE} Mobile/15E148 WhatsApp/2.24").click_class == HUMAN


WEB_VIEW = ANDROID.replace("Pixel 8", "{} Build/UP1A.231005.007; wv").replace("Chrome", "Version/4.0 Chrome")


@pytest.mark.parametrize(
    "user_agent",
    [
        WEB_VIEW.format("22101316G")
        + " Instagram 400.0.0.49.68 Android (34/14; 440dpi; 1080x2400; Xiaomi/Redmi; 22101316G; ruby; mt6877; fr_FR; 740291033)",
        WEB_VIEW.format("A1")
        + " Barcelona 400.0.0.49.68 Android (34/14; 440dpi; 1080x2400; TCL; Spider bot (2024); ruby; mt6877; fr_FR; 7)",
        WEB_VIEW.format("M bot 60") + " [FB_IAB/FB4A;FBAV/500.0.0.50.70;FBMF/Logicom;FBDV/M bot 60;]",
        WEB_VIEW.format("M bot 60") + " [FB_IAB/FB4A;FBAV/500.0.0.50.70;FBMF/Logicom;FBDV/M bot 60",
        WEB_VIEW.format("Moto G (4) robot") + " Snapchat/13.10.0.40 (M bot 60; Android 14#UP1A#34; gzip)",
        f"{IPHONE} Mobile/15E148 Instagram 400.0 (iPhone14,5; iOS 17_5; fr_FR; fr; spider; scale=3.00; 1170x2532; 6)",
    ],
)
def test_what_an_app_says_of_the_phone_makes_no_bot(user_agent: str) -> None:
    assert read_user_agent(user_agent).click_class == HUMAN


@pytest.mark.parametrize(
    ("user_agent", "is_a"),
    [
        ("Mozilla/5.0 (compatible; SnapURLPreview/1.0; +https://www.snapchat.com)", PREVIEW),
        ("Mozilla/4.0 (compatible; ms-office; MSOffice 16)", PREVIEW),
        ("Snapchat/13.54.0.54 (iPad7,5; iOS 17.7; gzip)", PREVIEW),
        ("AppEngine-Google; (+http://code.google.com/appengine; appid: s~snapchat-proxy)", BOT),
        (f"{IPHONE} Mobile/11A465 Twitter for iPhone BrandVerity/1.0 (http://www.brandverity.com/why)", BOT),
        (ANDROID.replace("Pixel 8", "Pixel 2 Build/OPD3.170816.012; Storebot-Google/1.0"), BOT),
        (ANDROID.replace("Pixel 8", "Nexus 5X Build/MMB29P; AdsBot-Google; +http://www.google.com/bot.html"), BOT),
        (f"{ANDROID} PTST/220216.200657", BOT),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:94.0) Gecko/20100101 Firefox/94.0 PTST/211202.211915", BOT),
        ("Dalvik/2.1.0 (Linux; U; Android 9; SM-G965U Build/PPR1.180610.011)", BOT),
        ("MyApp/1 CFNetwork/1410.1 Darwin/22.6.0", BOT),
        ("Dart/3.4 (dart:io)", BOT),
        ("Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.1682", BOT),
        (f"{ANDROID} Zorglub/1 (+https://zorglub.example/about)", BOT),
    ],
)
def test_programs_that_bear_a_browsers_name_are_what_they_are(user_agent: str, is_a: int) -> None:
    assert read_user_agent(user_agent).click_class == is_a


def test_the_names_of_known_programs_are_found_wherever_they_stand() -> None:
    for name in browsers._NAMES["bots"]:
        assert read_user_agent(WEB_VIEW.format(f"Pixel 8; {name}") + " Instagram 400.0").click_class == BOT, name


def test_a_program_is_a_bot_even_where_it_bears_the_name_of_an_app() -> None:
    names = (
        "robot/1 robots@example crawl spider slurp headless phantomjs lighthouse pagespeed puppeteer playwright selenium Python curl/8 wget/1"
        " Go-http-client okhttp Apache-HttpClient java/17 libwww-perl node-fetch axios/1 Scrapy httpx aiohttp Ruby Perl meta-externalagent AdsBot"
        " Mediapartners GoogleOther Google-InspectionTool Bytespider FeedFetcher monitor uptime validator"
    )
    for name in names.split():
        assert read_user_agent(f"Mozilla/5.0 Instagram 300.0 {name}").click_class == BOT, name
    assert read_user_agent("Mozilla/5.0 (Linux; Android 13; CUBOT X70) Instagram 300.0").click_class == HUMAN
    # The model of a phone is not read.
    assert read_user_agent(ANDROID.replace("Pixel 8", "curl/8 robot Build/X")).click_class == HUMAN


def test_a_name_is_stored_without_control_characters_and_only_the_beginning_is_read() -> None:
    assert read_user_agent(f"{IPHONE} Mobile/15E148\x1f\ud800Barcelona\x7f300").in_app == "Threads"
    assert read_user_agent("x" * 1_014 + " instagram").in_app == "Instagram"
    assert read_user_agent("x" * 1_015 + " instagram").in_app is None


def test_a_request_that_says_it_is_no_visit_is_believed() -> None:
    person = read_user_agent(PEOPLE[0][1])
    assert click_class(person, "") == HUMAN
    assert click_class(person, "head") == HEAD
    assert click_class(person, "prefetch") == PREFETCH
    assert click_class(person, "own") == OWN
    assert click_class(person, "embedded") == EMBEDDED
    assert click_class(read_user_agent("AhrefsBot/7.0"), "embedded") == BOT
    assert click_class(read_user_agent("AhrefsBot/7.0"), "head") == HEAD


def test_only_the_trial_of_a_source_clicks_in_test_mode() -> None:
    assert TRIAL_USER_AGENT == "Ariane-Trial/1"
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


@pytest.mark.parametrize(
    ("address", "owner"),
    [
        ("203.0.113.77", "203.0.113.77"),
        ("::ffff:203.0.113.77", "203.0.113.77"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("unknown", ""),
    ],
)
def test_an_owner_of_an_address_has_all_of_an_ipv4_one_and_the_network_of_an_ipv6_one(address: str, owner: str) -> None:
    assert split_address(address)[1] == owner


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


WORDS = (
    "AppleWebKit Gecko Chrome Chromium CriOS Firefox FxiOS Version Mobile Safari Edg EdgA EdgiOS OPR OPX SamsungBrowser Vivaldi YaBrowser"
    " UCBrowser MiuiBrowser HuaweiBrowser HeyTapBrowser VivoBrowser DuckDuckGo Ddg Brave Focus Klar Silk Ubuntu Whale"
)


@pytest.mark.parametrize("word", WORDS.split())
def test_a_browser_is_known_by_its_words_and_no_list_is_asked(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsers, "_bots", None)
    for rest in (f"{word}/1.0", f"(KHTML, like Gecko) {word}", f"{word}/1.0-b+c mobile wv"):
        assert read_user_agent(f"Mozilla/5.0 (Zorglub; A (B) C) {rest}").click_class == HUMAN


def test_the_lists_can_be_loaded_ahead() -> None:
    read_user_agent.cache_clear()
    browsers.load()
    assert read_user_agent.cache_info().currsize == 1
