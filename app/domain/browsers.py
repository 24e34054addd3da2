"""Who clicked: a person, a bot, the preview of a messenger; on which device, in which app, from which country.

Applied to the spool, never on the way to the redirect: reading a user agent costs about half a millisecond, so each is read once and cached.
A person taken for a bot costs an influencer a click, so in doubt it is a person: generic bot lists see bots in the browsers inside
Instagram and Facebook, in Android build ids and in phones named Cubot. What describes a phone is therefore read for the names of known
programs alone, and the rest for anything that looks like one.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import iptocc
from is_bot import Bots
from ua_parser.core import Domain
from ua_parser.loaders import load_builtins
from ua_parser.regex import Resolver

from app.domain.click_classes import BOT, EMBEDDED, HEAD, HUMAN, OWN, PREFETCH, PREVIEW, TEST

USER_AGENTS_CACHED = 16_384
TRIAL_USER_AGENT = "Ariane-Trial/1"
"""User agent of the clicks in the trial of a source: they have a class of their own, which no count includes."""
USER_AGENT_MAX_CHARS = 1_024

_NAMES = tomllib.loads(Path(__file__).with_suffix(".toml").read_bytes().decode())

# `(?<!cu)`: Cubot makes phones. The rest names programs, not browsers.
_BOT = re.compile(
    r"(?<!cu)bot\b|(?<!cu)bot[/_\-;)]|bots?@|crawl|spider|slurp|headless|phantomjs|lighthouse|pagespeed|puppeteer|playwright|selenium"
    r"|python|curl/|wget/|go-http-client|okhttp|apache-httpclient|java/|libwww-perl|node-fetch|axios/|scrapy|httpx|aiohttp|\bruby\b|\bperl\b"
    r"|meta-externalagent|adsbot|mediapartners|googleother|google-inspectiontool|bytespider|feedfetcher|monitor|uptime|validator"
    # Libraries of apps and systems that load an address without showing it, and Windows' scripts.
    r"|dalvik/|cfnetwork/|dart:io|dart/|powershell"
    # No browser gives the address of a page about itself.
    r"|https?://"
)

# A user agent of a platform and these words alone is a browser; the generic list, slow and too eager, is not asked about it.
_BROWSER_WORDS = re.compile(
    r"mozilla/5\.0 \((?!compatible)[^()]*(?:\([^()]*\)[^()]*)?\)"
    r"(?: (?:\(khtml, like gecko\)|(?:applewebkit|gecko|chrome|chromium|crios|firefox|fxios|version|mobile|safari|edg|edga|edgios|opr|opx"
    r"|samsungbrowser|vivaldi|yabrowser|ucbrowser|miuibrowser|huaweibrowser|heytapbrowser|vivobrowser|duckduckgo|ddg|brave|focus|klar"
    r"|silk|ubuntu|whale|gsa|instagram|snapchat)(?:/[\w.+\-]+)?|mobile|wv))+"
)
# Names are stored as they are found, without the characters that a database may refuse, and without lone surrogates.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

# Where a phone is described, in words of its maker's that lists mistake for programs ("M bot 60", Xiaomi's "ruby"): the platform of an Android browser,
# what Instagram, Threads and Snapchat say in parentheses behind their names, Facebook's brackets. A model may hold parentheses of its own.
_PHONE = re.compile(
    r"\((?:linux;[^()]*android)(?:[^()]|\([^()]*\))*\)"
    r"|(?:\b(?:instagram|barcelona|snapchat)/? ?[\d.]+ (?:android )?)\((?:[^()]|\([^()]*\))*\)"
    r"|\[fb[^\]]*(?:\]|$)"
)

_DESKTOPS = {"Windows", "macOS", "Linux", "ChromeOS"}


@dataclass(frozen=True, slots=True)
class Browser:
    """The parts of a user agent; None for those it does not name."""

    click_class: int  # HUMAN, BOT, PREVIEW or TEST
    device: str | None  # mobile, tablet, desktop, tv
    os: str | None
    browser: str | None
    in_app: str | None  # the app around the browser


@lru_cache(maxsize=USER_AGENTS_CACHED)
def read_user_agent(user_agent: str) -> Browser:
    """Class, device, system, browser and app of a User-Agent header. Never raises; an empty one is a bot, as no browser sends that."""
    user_agent = _CONTROLS.sub(" ", user_agent[:USER_AGENT_MAX_CHARS])
    lower = user_agent.lower()
    in_app = _in_app(lower)
    click_class = _class(lower, in_app)
    parsed = _resolver()(user_agent, Domain.ALL)
    family = parsed.user_agent.family if parsed.user_agent else None
    system = parsed.os.family if parsed.os else None
    system = _NAMES["systems"].get(system, system)
    return Browser(
        click_class=click_class,
        device=_device(lower, system) if click_class == HUMAN else None,
        os=system,
        browser=_NAMES["families"].get(family, family),
        in_app=in_app if click_class == HUMAN else None,
    )


def class_of(user_agent: str) -> int:
    """The class alone, HUMAN, BOT, PREVIEW or TEST: a twentieth of the work."""
    lower = _CONTROLS.sub(" ", user_agent[:USER_AGENT_MAX_CHARS]).lower()
    return _class(lower, _in_app(lower))


def click_class(browser: Browser, hint: str) -> int:
    """The class of one click. hint: `head` or `prefetch` for a request that declares itself no visit, `own` for one of the brand's own people; each outweighs
    the user agent. `embedded` is what a page loads as its image, frame or script, and says so of a browser alone.
    """
    if hint == "embedded":
        return EMBEDDED if browser.click_class == HUMAN else browser.click_class
    return {"own": OWN, "head": HEAD, "prefetch": PREFETCH}.get(hint, browser.click_class)


def countries(addresses: Sequence[str]) -> list[str | None]:
    """ISO 3166 codes of the countries that (truncated) addresses are registered in; None for private, unknown and no addresses."""
    return iptocc.country_code(addresses)


def load() -> None:
    """Load the lists now (0.6 s) instead of at the first click."""
    read_user_agent("Mozilla/5.0 (load)")
    countries(["192.0.2.0"])


def _in_app(lower: str) -> str | None:
    return next((name for token, name in _NAMES["in_app"].items() if token in lower), None)


def _class(lower: str, in_app: str | None) -> int:
    if not lower.strip():
        return BOT
    if lower == TRIAL_USER_AGENT.lower():
        return TEST
    # Signal and WhatsApp fetch previews under WhatsApp's name, Snapchat's app under its own. A browser inside them begins with its own name.
    if lower.startswith(("whatsapp/", "snapchat/")) or any(token in lower for token in _NAMES["previews"]):
        return PREVIEW
    readable = _PHONE.sub("(linux; android)", lower)
    if any(token in lower for token in _NAMES["bots"]) or _BOT.search(readable):
        return BOT
    if in_app is not None or _BROWSER_WORDS.fullmatch(lower):
        return HUMAN
    return BOT if _bots().is_bot(readable) else HUMAN


def _device(lower: str, system: str | None) -> str | None:
    if "ipad" in lower or "tablet" in lower:
        return "tablet"
    if any(name in lower for name in ("smart-tv", "smarttv", "appletv", " tv")):
        return "tv"
    if system == "iOS" or "iphone" in lower:
        return "mobile"
    if system == "Android":
        return "mobile" if "mobile" in lower else "tablet"
    return "desktop" if system in _DESKTOPS else None


@cache
def _resolver() -> Resolver:
    return Resolver(load_builtins())


@cache
def _bots() -> Bots:
    return Bots()
