"""Postbacks: whoever knows the address may send, and where the source has secrets, whoever also knows one of them.

A postback carries its secret in clear (`verification_token=…`), and kept messages are shown to people. So the token is taken out before anything
is kept: MASK stands in its place, and beside the message, under a name that no header can have, HMAC-SHA256 of the rest under the token. That is
enough to check the message again once a mistyped secret was mended, and nothing to send another one with.
"""

import codecs
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote_plus

from app.domain.signatures.digests import MALFORMED, MISSING, PROOF, QUERY, WRONG, encoded, read_hex, signed

TOKENS = frozenset({"token", "verification_token", "security_token"})
"""Our name for it, Everflow's and TUNE's. None of them means anything else to any network, so all are taken out whatever the preset."""
MASK = "hidden"
SEVERAL = "several"
"""In place of the proof: the message said two different tokens."""
KEPT_HEADERS = frozenset({"content-type"})


def _spelt(escape: str) -> str:
    """A pattern for these names in any case, each character of them as it is or escaped."""
    return "|".join(
        "".join(f"(?:{c}|{escape}{ord(c):02x}|{escape}{ord(c.upper()):02x})" for c in name) for name in sorted(TOKENS)
    )


_BLANKS = r"(?:\s|\+|%(?:20|09|0a|0d))*"
# `&amp;` pasted for `&` makes `amp;token` of a name: refused later, kept all the same.
_IN_PAIRS = re.compile(rf"(?:(?<=&)|^)((?:amp;)?{_BLANKS}(?:{_spelt('%')}){_BLANKS})=([^&]*)", re.IGNORECASE)
# Anywhere in the text and whether or not it is good JSON: what cannot be read is kept and shown too.
_IN_JSON = re.compile(
    rb'("\s*(?:%s)\s*"\s*:\s*)("(?:[^"\\]|\\.)*"?|[^\s,{}\[\]"][^\s,}\]]*)' % _spelt(r"\\u00").encode(),
    re.IGNORECASE | re.DOTALL,
)


def verify(
    body: bytes, headers: Mapping[str, str], secrets: Sequence[str], *, now_s: float, settings: Mapping[str, object]
) -> str | None:
    """See `signing.verify`; the query stands among the headers, the token may be concealed already. Without secrets the address is the guard."""
    del now_s, settings
    if not secrets:
        return None
    query, given, rest = conceal(headers.get(QUERY, ""), headers, body)
    shown = given.get(PROOF, "")
    if not shown:
        return MISSING
    proof = read_hex(shown)
    if proof is None:
        return MALFORMED
    return None if signed(map(encoded, secrets), _proven(query, rest), [proof]) else WRONG


def conceal(query: str, headers: Mapping[str, str], body: bytes) -> tuple[str, dict[str, str], bytes]:
    """The message without its token, and with the proof of it among the headers; query as latin-1. Twice is as once."""
    found: set[str] = set()
    query = _conceal_pairs(query, found)
    if is_json(headers.get("content-type", ""), body):
        body = _IN_JSON.sub(lambda matched: _conceal_value(matched, found), body)
    else:
        body = _conceal_pairs(body.decode("latin-1"), found).encode("latin-1")
    found.discard(MASK)
    if not found:
        return query, dict(headers), body
    proof = hmac.digest(encoded(found.pop()), _proven(query, body), "sha256").hex() if len(found) == 1 else SEVERAL
    return query, {**headers, PROOF: proof}, body


def is_json(content_type: str, body: bytes) -> bool:
    """Whether a body is meant as JSON: it says so, or looks so; else it is read as a query is."""
    text = body.removeprefix(codecs.BOM_UTF8).lstrip()
    return content_type.lower().startswith("application/json") or text[:1] in (b"{", b"[")


def _proven(query: str, body: bytes) -> bytes:
    return encoded(query) + b"\n" + body


def _conceal_pairs(text: str, found: set[str]) -> str:
    """Of `name=value&…`; what holds no token comes back as it was, to the byte."""

    def concealed(matched: re.Match[str]) -> str:
        token = unquote_plus(matched[2]).strip()
        if not token:
            return matched[0]
        found.add(token)
        return f"{matched[1]}={MASK}"

    return _IN_PAIRS.sub(concealed, text)


def _conceal_value(matched: re.Match[bytes], found: set[str]) -> bytes:
    written = matched[2].decode("utf-8", "surrogateescape")
    try:
        value = json.loads(written)
    except ValueError:
        value = written
    if value is None or value == "":
        return matched[0]
    found.add(value.strip() if isinstance(value, str) else written)
    return matched[1] + json.dumps(MASK).encode()
