"""Postbacks: whoever knows the address may send, and where the source has secrets, whoever also knows one of them.

A postback carries its secret in clear (`verification_token=…`), and kept messages are shown to people. So the token is taken out before anything
is kept: MASK stands in its place, and beside the message, under a name that no header can have, HMAC-SHA256 of the rest under the token. That is
enough to check the message again once a mistyped secret was mended, and nothing to send another one with.

Where no postback carries it (`token[]=…`, a list, a part of a form with files), a token proves nothing, and is taken out all the same.
"""

import codecs
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote, quote_plus, unquote_plus

from app.platforms.kit.digests import MALFORMED, MISSING, PROOF, QUERY, WRONG, encoded, read_hex, signed

TOKENS = frozenset({"token", "verification_token", "security_token"})
"""Our name for it, Everflow's and TUNE's. None of them means anything else to any network, so all are taken out whatever the preset."""
MASK = "hidden"
SECRET_CHARACTERS_MIN = 4
"""Shortest secret that is searched for, in characters: a shorter one may stand anywhere by chance."""
BODY_MAX_BYTES = 16 << 10
"""Largest body of a postback, in bytes; the fields of one with a hundred items fit. Its token is searched for in all of it."""
SEVERAL = "several"
"""Stands in place of the proof where a message holds two different tokens."""
KEPT_HEADERS = frozenset({"content-type"})


def _spelt(escape: str) -> str:
    """A pattern for these names in any case, each character of them as it is or escaped."""
    return "|".join(
        "".join(f"(?:{c}|{escape}{ord(c):02x}|{escape}{ord(c.upper()):02x})" for c in name) for name in sorted(TOKENS)
    )


# Patterns are compiled when they are first used, and kept by `re`: all of them at once would hold up the start of every web worker by 10 ms.
_BLANKS = r"(?:\s|\+|%(?:20|09|0a|0d))*"
# `&amp;` pasted for `&` makes `amp;token` of a name: refused later, kept all the same.
_IN_PAIRS = rf"(?i)(?:(?<=&)|^)((?:amp;)?{_BLANKS}(?:{_spelt('%')}){_BLANKS})=([^&]*)"
# Searched in the whole text, valid JSON or not: an unreadable message is kept and shown too.
_IN_JSON = rb'(?is)("\s*(?:%s)\s*"\s*:\s*)("(?:[^"\\]|\\.)*"?|[^\s,{}\[\]"][^\s,}\]]*)' % _spelt(r"\\u00").encode()

# `token[]=`, `token[0]=`, `with[token]=`, `…?token=`: what some senders make of a parameter. Bounded, because each is looked for from each start.
_IN_ODD_PAIRS = (
    rf"(?i)((?:^|[&?;\[]|%5b){_BLANKS}(?:{_spelt('%')}){_BLANKS}(?:(?:[\[\]]|%5b|%5d)[^&=]{{0,100}})?=)[^&]+"
)
_BEFORE_NEST = rb'(?i)"\s*(?:%s)\s*"\s*:\s*(?=[\[{])' % _spelt(r"\\u00").encode()
_IN_FORM = (
    rb'(?is)(name\s{0,9}=\s{0,9}"?\s{0,9}(?:%s)(?:\[[^"\r\n]{0,100})?\s{0,9}"?(?=[;\s])[^\r\n]{0,200}\r?\n(?:[^\r\n]{1,500}\r?\n){0,8}\r?\n)'
    rb".*?(?=\r?\n--|\Z)" % "|".join(sorted(TOKENS)).encode()
)
_DECODER = json.JSONDecoder()


def verify(
    body: bytes, headers: Mapping[str, str], secrets: Sequence[str], *, now_s: float, settings: Mapping[str, object]
) -> str | None:
    """See `Verify`; the query stands among the headers, the token may be concealed already. Without secrets the address is the guard."""
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
    """The message without its token, and with the proof of it among the headers; query as latin-1. Concealing again changes nothing."""
    found: set[str] = set()
    query = _conceal_pairs(query, found)
    if is_json(headers.get("content-type", ""), body):
        body = _conceal_nests(re.sub(_IN_JSON, lambda matched: _conceal_value(matched, found), body))
    else:
        body = re.sub(_IN_FORM, rb"\1" + MASK.encode(), _conceal_pairs(body.decode("latin-1"), found).encode("latin-1"))
    found.discard(MASK)
    if not found:
        return query, dict(headers), body
    proof = hmac.digest(encoded(found.pop()), _proven(query, body), "sha256").hex() if len(found) == 1 else SEVERAL
    return query, {**headers, PROOF: proof}, body


def forget(query: str, body: bytes, secrets: Sequence[str]) -> tuple[str, bytes]:
    """Query (as latin-1) and body of a message that proved nothing, without the source's own secrets, wherever and however they stand in it.

    Not for a message that can be checked again: its proof covers its content.
    """
    spellings = {
        spelling.encode()
        for secret in secrets
        for spelling in (secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1])
        if len(secret) >= SECRET_CHARACTERS_MIN
    }
    if not spellings:
        return query, body
    # The longest first: one spelling may be the beginning of another.
    pattern = re.compile(b"|".join(map(re.escape, sorted(spellings, key=len, reverse=True))), re.IGNORECASE)
    return pattern.sub(MASK.encode(), query.encode("latin-1")).decode("latin-1"), pattern.sub(MASK.encode(), body)


def is_json(content_type: str, body: bytes) -> bool:
    """Whether a body is meant as JSON, by its content type or its first character; else it is read like a query."""
    text = body.removeprefix(codecs.BOM_UTF8).lstrip()
    return content_type.lower().startswith("application/json") or text[:1] in (b"{", b"[")


def _proven(query: str, body: bytes) -> bytes:
    return encoded(query) + b"\n" + body


def _conceal_pairs(text: str, found: set[str]) -> str:
    """`name=value&…` without its tokens; text without a token comes back unchanged, to the byte."""

    def concealed(matched: re.Match[str]) -> str:
        token = unquote_plus(matched[2]).strip()
        if not token:
            return matched[0]
        found.add(token)
        return f"{matched[1]}={MASK}"

    return re.sub(_IN_ODD_PAIRS, rf"\1{MASK}", re.sub(_IN_PAIRS, concealed, text))


def _conceal_nests(body: bytes) -> bytes:
    """JSON with MASK in place of each list or object that stands for a token, and in place of the rest where one does not end."""
    # As latin-1 a byte is a character, and only where the value ends matters.
    text, kept, end = body.decode("latin-1"), [], 0
    for matched in re.finditer(_BEFORE_NEST, body):
        if matched.start() < end:
            continue
        kept += [body[end : matched.end()], json.dumps(MASK).encode()]
        try:
            end = _DECODER.raw_decode(text, matched.end())[1]
        except (ValueError, RecursionError):
            end = len(body)
    return b"".join([*kept, body[end:]])


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
