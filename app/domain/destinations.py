"""Destinations of links: which addresses are accepted, and how a click id and a forwarded query are added at the cost of a concatenation.

An address is checked once, when its link is written; the redirect then works on bytes that are safe in a `Location` header.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, unquote_plus, unquote_to_bytes, urlsplit

from app.domain.hostnames import ascii_host, strip_invisible

DESTINATION_MAX_CHARS = 2_048
FORWARDED_MAX_BYTES = 2_048
"""Longest part of an incoming query that is forwarded, in bytes; only whole parameters are."""
UTM_FIELDS = ("source", "medium", "campaign", "term", "content", "id")
UTM_MAX_CHARS = 256

Forwarding = Literal["link_wins", "incoming_wins", "nothing"]
"""What becomes of the query of a click: what the link does not say itself is added, or it overrides the link's parameters, or it is dropped."""

FOREIGN_CLICK_IDS = frozenset({
    "fbclid", "gclid", "gclsrc", "dclid", "gbraid", "wbraid", "gad_source", "gad_campaignid", "srsltid", "_gl", "msclkid", "ttclid", "twclid", "igsh",
    "igshid", "li_fat_id", "epik", "sccid", "rdt_cid", "yclid", "ysclid", "mc_eid", "_hsenc", "_hsmi", "__hstc", "__hssc", "__hsfp", "irclickid",
    "cjevent", "awc", "wickedid", "_openstat",
})  # fmt: skip
"""Parameters, in lower case, by which an advertising network, shop or mailing names one click or one reader. In the destination of a link each of
them would tell every visitor's click as that of the person who copied the address."""

# RFC 3986: the characters allowed in a path, query or fragment. `%` is among them so that nothing is encoded twice.
_SAFE = "!$%&'()*+,-./:;=?@_~[]"
_UNSAFE_BYTES = re.compile(rb"[^A-Za-z0-9!$%&'()*+,\-./:;=?@_~\[\]]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_LOOSE_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_PORT = re.compile(r"(?::(?P<port>[^:]*))?")
# As in the source of a web page, where & is written so; twice, where that was pasted into a page again.
_ENTITY = re.compile(r"&(?:#0*38;|#x0*26;|amp;)(?:amp;)*(?=[^&#=]+=)", re.IGNORECASE)
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9_.~-]{1,64}")


@dataclass(frozen=True, slots=True)
class Destination:
    """A checked address, split for one link's click parameter.

    prefix + click id + suffix is the address with the id; `plain` is the address without one (a visitor who asked not to be followed).
    Neither has a parameter of the address itself that bears the click parameter's name: a pasted old id would credit an old click.
    base: everything before `?`. pairs: the parameters as (decoded name, raw pair). names: theirs. suffix: `#` and the rest, or nothing.
    """

    prefix: bytes
    suffix: bytes
    plain: bytes
    base: bytes
    pairs: tuple[tuple[bytes, bytes], ...]
    names: frozenset[bytes]
    click_param: bytes
    forwarding: Forwarding


@dataclass(frozen=True, slots=True)
class CheckedDestination:
    """An address as it is stored and sent, and whether something was mended in it. removed: the click ids that were taken out, in their order."""

    url: str
    entities_decoded: bool
    removed: tuple[str, ...]


def check_destination(url: str) -> str:
    """The address as it is stored and sent: scheme and host in lower case, host in ASCII, the rest percent-encoded where necessary.

    What is invisible at its ends, `&amp;` between parameters and other people's click ids (FOREIGN_CLICK_IDS) are not part of it.
    Raises ValueError with one sentence that says what is wrong and what would be right.
    """
    return mend_destination(url).url


def mend_destination(url: str) -> CheckedDestination:
    """`check_destination`, and what it has mended."""
    url = strip_invisible(url)
    if not url:
        raise ValueError("must be an address such as https://shop.example/page")
    if len(url) > DESTINATION_MAX_CHARS:
        raise ValueError(f"is {len(url)} characters long; at most {DESTINATION_MAX_CHARS} are allowed")
    if _CONTROL.search(url):
        raise ValueError("must not contain control characters")
    try:
        url.encode()
    except UnicodeEncodeError:
        raise ValueError("contains characters that are no valid text (a lone surrogate)") from None
    scheme = _SCHEME.match(url)
    if scheme is None:
        raise ValueError("must begin with https:// or http://")
    if scheme[1].lower() not in ("http", "https"):
        raise ValueError(f"must begin with https:// or http://, not {scheme[1].lower()[:32]}:")
    if not url[scheme.end() :].startswith("//"):
        raise ValueError(f"must have // after {scheme[0]}")
    base, question, rest = url.partition("?")
    decoded = base + question + (rest if "#" in base else _ENTITY.sub("&", rest))
    try:
        parts = urlsplit(decoded)
    except ValueError:
        raise ValueError("has a host that cannot be read") from None
    # A browser reads a backslash as a slash, and would go to another host than the one checked here.
    if "\\" in parts.netloc:
        raise ValueError("must not contain a backslash in its host")
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or password")
    host, port = _check_place(parts.netloc)
    tail = _encode(parts.path) or "/"
    query, removed = _without_click_ids(parts.query)
    if query:
        tail += f"?{_encode(query)}"
    if parts.fragment:
        tail += f"#{_encode(parts.fragment)}"
    checked = f"{scheme[1].lower()}://{host}{port}{tail}"
    if len(checked) > DESTINATION_MAX_CHARS:
        raise ValueError(f"is {len(checked)} characters long once encoded; at most {DESTINATION_MAX_CHARS} are allowed")
    return CheckedDestination(checked, decoded != url, removed)


def check_click_param(name: str) -> str:
    """The name of a query parameter that can carry a click id. Raises ValueError with one sentence."""
    if not _PARAMETER_NAME.fullmatch(name):
        raise ValueError("must be 1 to 64 letters, digits, or any of - _ . ~")
    return name


def apply_utm(url: str, utm: Mapping[str, str | None]) -> str:
    """A checked address with `utm_…` parameters added, replacing its own of the same name. Names may be given with or without `utm_`.

    Empty and missing values add nothing. Raises ValueError with one sentence that names the field.
    """
    added: dict[str, str] = {}
    for name, value in utm.items():
        field = name.removeprefix("utm_")
        if field not in UTM_FIELDS:
            raise ValueError(f"{name[:40]}: is none of {', '.join(UTM_FIELDS)}")
        if not value:
            continue
        if len(value) > UTM_MAX_CHARS:
            raise ValueError(f"{name}: is {len(value)} characters long; at most {UTM_MAX_CHARS} are allowed")
        if _CONTROL.search(value):
            raise ValueError(f"{name}: must not contain control characters")
        try:
            added[f"utm_{field}"] = quote(value, safe="")
        except UnicodeEncodeError:
            raise ValueError(f"{name}: contains characters that are no valid text (a lone surrogate)") from None
    if not added:
        return url
    base, query, fragment = _split(url.encode())
    names = {name.encode() for name in added}
    pairs = [pair for name, pair in _pairs(query) if name not in names]
    pairs += [f"{name}={value}".encode() for name, value in added.items()]
    joined = (base + b"?" + b"&".join(pairs) + fragment).decode()
    if len(joined) > DESTINATION_MAX_CHARS:
        raise ValueError(f"is {len(joined)} characters long with its UTM parameters; at most {DESTINATION_MAX_CHARS}")
    return joined


def take_apart(url: str, click_param: str, forwarding: Forwarding = "link_wins") -> Destination:
    """A checked address, prepared for its redirects. Takes about 5 µs, once, when a link is first requested."""
    base, query, fragment = _split(url.encode())
    name = click_param.encode()
    pairs = tuple(pair for pair in _pairs(query) if pair[0] != name)
    joined = b"&".join(raw for _, raw in pairs)
    plain = base + (b"?" + joined if joined else b"")
    return Destination(
        prefix=plain + (b"&" if joined else b"?") + name + b"=",
        suffix=fragment,
        plain=plain + fragment,
        base=base,
        pairs=pairs,
        names=frozenset(pair[0] for pair in pairs),
        click_param=name,
        forwarding=forwarding,
    )


def address(destination: Destination, click_id: bytes, query: bytes) -> bytes:
    """The bytes of a `Location`: the destination with this click id (none when empty) and the visitor's own query.

    `forwarding` says which of the query's parameters are added, and whose stand where both have one of a name; the click parameter of a query is
    always dropped. Whatever the query holds, the result is ASCII without spaces or control characters, and at most FORWARDED_MAX_BYTES (three
    times that where bytes must be encoded) longer than the destination.
    """
    forwarded = _forwardable(query, destination) if query else []
    if not forwarded:
        return destination.prefix + click_id + destination.suffix if click_id else destination.plain
    pairs = destination.pairs
    if destination.forwarding == "incoming_wins":
        names = {name for name, _ in forwarded}
        pairs = tuple(pair for pair in pairs if pair[0] not in names)
    kept = [raw for _, raw in pairs]
    if click_id:
        kept.append(destination.click_param + b"=" + click_id)
    kept += [raw for _, raw in forwarded]
    return destination.base + b"?" + b"&".join(kept) + destination.suffix


def _forwardable(query: bytes, destination: Destination) -> list[tuple[bytes, bytes]]:
    if destination.forwarding == "nothing":
        return []
    if len(query) > FORWARDED_MAX_BYTES:
        # Half a value is worse than none.
        query = query[: FORWARDED_MAX_BYTES + 1].rpartition(b"&")[0]
    if _UNSAFE_BYTES.search(query):
        query = _UNSAFE_BYTES.sub(lambda found: b"%%%02X" % found[0][0], query)
    refused = destination.names if destination.forwarding == "link_wins" else ()
    return [pair for pair in _pairs(query) if pair[0] != destination.click_param and pair[0] not in refused]


def _split(url: bytes) -> tuple[bytes, bytes, bytes]:
    """Base, query without `?`, and fragment with `#`."""
    rest, hash_sign, fragment = url.partition(b"#")
    base, _, query = rest.partition(b"?")
    return base, query, hash_sign + fragment


def _pairs(query: bytes) -> list[tuple[bytes, bytes]]:
    """Every parameter as (decoded name, raw pair), in order; empty ones are dropped."""
    pairs = []
    for raw in query.split(b"&"):
        if raw:
            name = raw.partition(b"=")[0]
            if b"%" in name or b"+" in name:
                name = unquote_to_bytes(name.replace(b"+", b" "))
            pairs.append((name, raw))
    return pairs


def _encode(text: str) -> str:
    return quote(_LOOSE_PERCENT.sub("%25", text), safe=_SAFE)


def _without_click_ids(query: str) -> tuple[str, tuple[str, ...]]:
    removed = []
    kept = []
    for raw in query.split("&"):
        name = unquote_plus(raw.partition("=")[0])
        if name.lower() in FOREIGN_CLICK_IDS:
            removed.append(name)
        else:
            kept.append(raw)
    return ("&".join(kept), tuple(dict.fromkeys(removed))) if removed else (query, ())


def _check_place(netloc: str) -> tuple[str, str]:
    """Host and port (`:8080` or nothing) as they are sent."""
    if netloc.startswith("["):
        name, _, rest = netloc[1:].partition("]")
        if ":" not in name:
            raise ValueError("has a host that cannot be read")
    else:
        name, colon, rest = netloc.partition(":")
        rest = colon + rest
    port = _PORT.fullmatch(rest)
    if port is None:
        raise ValueError(
            "has two ports; at most one may follow the host"
            if rest.count(":") > 1
            else "has a host that cannot be read"
        )
    return ascii_host(name), _check_port(port["port"])


def _check_port(port: str | None) -> str:
    if not port:
        return ""
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise ValueError("has a port that is no number from 1 to 65535")
    return f":{int(port)}"
