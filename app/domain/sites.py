"""The site of a shop, as its system names itself in its messages, and the name that a further shop of a brand is given."""

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache

MAIN = "main"
"""The shop of a brand's first shop system, and of whatever was made before there was a second."""
SITE_CHARACTERS_MAX = 255
SHOP_CHARACTERS_MAX = 60
"""Longest name that is made for a shop, before a number is put behind it."""
SITES_CACHED = 1_024

_SITE = re.compile(
    r"(?:https?:)?(?://)?(?:www\.)?(?P<host>[\w-]+(?:\.[\w-]+)*)\.?(?P<port>:\d{1,5})?(?P<path>(?:/[^\s?#]*)?)(?:[?#]\S*)?",
    re.IGNORECASE,
)
_OTHERS = re.compile(r"[^a-z0-9]+")
_DEFAULT_PORTS = (":80", ":443")


@lru_cache(maxsize=SITES_CACHED)
def read_site(text: str) -> str:
    """A shop's domain or address as it is compared: without scheme, `www.`, default port and a slash at the end, the host in lower case.
    '' when it is no address.

    The path belongs to it: two shops of one WordPress network may differ in nothing else.
    """
    address = text.strip()
    found = _SITE.fullmatch(address) if len(address) <= SITE_CHARACTERS_MAX else None
    if found is None:
        return ""
    port = found["port"] or ""
    return f"{found['host'].lower()}{'' if port in _DEFAULT_PORTS else port}{found['path'].rstrip('/')}"


def is_of(site: str, bound: str) -> bool:
    """Whether a message from `site` is of the site that its source is bound to; `shop.example/*` is every path of that host."""
    return site == bound or (bound.endswith("/*") and f"{site}/".startswith(bound[:-1]))


def own_shop(name: str, taken: Collection[str]) -> str:
    """The name of a further shop, made of what its source is called: `outlet-paris` of « Outlet Paris ». taken: shops of the brand's sources.

    `shop` where the name has neither letters of a-z nor digits. Never `main`, nor one that is taken: a number is put behind it.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = _OTHERS.sub("-", plain)[:SHOP_CHARACTERS_MAX].strip("-") or "shop"
    barred = {MAIN, *taken}
    number = 1
    shop = slug
    while shop in barred:
        number += 1
        shop = f"{slug}-{number}"
    return shop
