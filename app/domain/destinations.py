"""Destinations of links: which addresses are accepted, and how a click id and a forwarded query are added at the cost of a concatenation.

An address is checked once, when its link is written; the redirect then works on bytes that are safe in a `Location` header.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from urllib.parse import quote, unquote_to_bytes, urlsplit

DESTINATION_MAX_CHARS = 2_048
FORWARDED_MAX_BYTES = 2_048
"""Longest part of an incoming query that is forwarded, in bytes; only whole parameters are."""
UTM_FIELDS = ("source", "medium", "campaign", "term", "content", "id")
UTM_MAX_CHARS = 256

# RFC 3986: the characters allowed in a path, query or fragment. `%` is among them so that nothing is encoded twice.
_SAFE = "!$%&'()*+,-./:;=?@_~[]"
_UNSAFE_BYTES = re.compile(rb"[^A-Za-z0-9!$%&'()*+,\-./:;=?@_~\[\]]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_LOOSE_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_PORT = re.compile(r":([^:\]]+)\Z")
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9_.~-]{1,64}")


@dataclass(frozen=True, slots=True)
class Destination:
    """A checked address, split for one link's click parameter.

    prefix + click id + suffix is the address with the id; `plain` is the address without one (a visitor who asked not to be followed).
    Neither has a parameter of the address itself that bears the click parameter's name: a pasted old id would credit an old click.
    base: everything before `?`. pairs: the parameters as (decoded name, raw pair). suffix: `#` and the rest, or nothing.
    """

    prefix: bytes
    suffix: bytes
    plain: bytes
    base: bytes
    pairs: tuple[tuple[bytes, bytes], ...]
    click_param: bytes


def check_destination(url: str) -> str:
    """The address as it is stored and sent: scheme and host in lower case, host in ASCII, the rest percent-encoded where necessary.

    Raises ValueError with one sentence that says what is wrong and what would be right.
    """
    url = url.strip(" ")
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
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("has a host that cannot be read") from None
    # A browser reads a backslash as a slash, and would go to another host than the one checked here.
    if "\\" in parts.netloc:
        raise ValueError("must not contain a backslash in its host")
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or password")
    host = _check_host(parts.hostname or "")
    port = _check_port(parts.netloc)
    tail = _encode(parts.path) or "/"
    if parts.query:
        tail += f"?{_encode(parts.query)}"
    if parts.fragment:
        tail += f"#{_encode(parts.fragment)}"
    checked = f"{scheme[1].lower()}://{host}{port}{tail}"
    if len(checked) > DESTINATION_MAX_CHARS:
        raise ValueError(f"is {len(checked)} characters long once encoded; at most {DESTINATION_MAX_CHARS} are allowed")
    return checked


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


def take_apart(url: str, click_param: str) -> Destination:
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
        click_param=name,
    )


def address(destination: Destination, click_id: bytes, query: bytes) -> bytes:
    """The bytes of a `Location`: the destination with this click id (none when empty) and the visitor's own query.

    The visitor's parameters override the link's of the same name, except for the click parameter, which is dropped. Whatever the query holds,
    the result is ASCII without spaces or control characters, and at most FORWARDED_MAX_BYTES (three times that where bytes must be encoded)
    longer than the destination.
    """
    if not query:
        return destination.prefix + click_id + destination.suffix if click_id else destination.plain
    forwarded = _forwardable(query, destination.click_param)
    if not forwarded:
        return address(destination, click_id, b"")
    names = {name for name, _ in forwarded}
    pairs = [raw for _, raw in forwarded]
    kept = [raw for name, raw in destination.pairs if name not in names]
    if click_id:
        kept.append(destination.click_param + b"=" + click_id)
    return destination.base + b"?" + b"&".join(kept + pairs) + destination.suffix


def _forwardable(query: bytes, click_param: bytes) -> list[tuple[bytes, bytes]]:
    if len(query) > FORWARDED_MAX_BYTES:
        # Half a value is worse than none.
        query = query[: FORWARDED_MAX_BYTES + 1].rpartition(b"&")[0]
    if _UNSAFE_BYTES.search(query):
        query = _UNSAFE_BYTES.sub(lambda found: b"%%%02X" % found[0][0], query)
    return [pair for pair in _pairs(query) if pair[0] != click_param]


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


def _check_host(host: str) -> str:
    if not host:
        raise ValueError("has no host")
    if ":" in host:
        try:
            return f"[{IPv6Address(host).compressed}]"
        except ValueError:
            raise ValueError("has a host that is no IPv6 address") from None
    if host.isascii() and "xn--" not in host:
        ascii_host = host.lower()
    else:
        # Imported here: its tables take longer to load than everything else the redirect needs, and few hosts need them.
        import idna

        try:
            ascii_host = idna.encode(host, uts46=True).decode()
        except (idna.IDNAError, UnicodeError):
            raise ValueError("has a host that is no valid domain name") from None
    labels = ascii_host.removesuffix(".").split(".")
    if len(ascii_host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("has a host that is no valid domain name")
    return ascii_host


def _check_port(netloc: str) -> str:
    match = _PORT.search(netloc)
    if match is None:
        return ""
    port = match[1]
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise ValueError("has a port that is no number from 1 to 65535")
    return f":{int(port)}"
