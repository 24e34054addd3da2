"""Signatures of any checkout: described by `settings.signature` or a preset; without either, in our own header or by Standard Webhooks.

Nearly all of them are one scheme with other values (`Layout`): HMAC-SHA256 under a secret, over a message made of the raw body and perhaps a timestamp,
an id and the address it is sent to; one or several digests in one header, in hex or base64. Where a checkout sends a fixed token or Basic auth instead, that
is taken out before anything is kept, and a proof of it stands in its place, as of a postback's token.

- our own: `X-Ariane-Signature: sha256=<hex or base64>` (the `sha256=` may be missing) over the body.
- Svix: as Standard Webhooks, in `svix-id`, `svix-timestamp`, `svix-signature`.
- Standard Webhooks: `webhook-id`, `webhook-timestamp` (±300 s), `webhook-signature: v1,<base64> …` over `id.timestamp.body`.
"""

import base64
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.platforms.kit.digests import (
    BY_TOKEN,
    MALFORMED,
    MISSING,
    PROOF,
    SIGNATURES_MAX,
    STALE,
    TOLERANCE_S,
    UNARMED,
    URL,
    WRONG,
    decode,
    encoded,
    read_base64,
    read_digest,
    read_hex,
    read_timestamp,
    signed,
    values_named,
)
from app.platforms.presets import resolve

HEADER_CHARACTERS_MAX = 100
MESSAGE_CHARACTERS_MAX = 100
TOLERANCE_S_MAX = 3_600
"""Largest tolerance that may be set, in seconds: a message older than this is never accepted again."""
STANDARD_PREFIX = "whsec_"
PLACEHOLDERS = ("{timestamp}", "{id}", "{url}", "{body}")
UNKEPT = ("token", "basic")
"""Schemes whose header is the secret itself."""
BARRED_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "set-cookie"})
"""Headers that settings may not name: a delivery is kept with the headers it names, and these hold passwords."""
NAMED = "header:"
"""Prefix of a place that is a header and not in the body."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*", re.ASCII)

HeaderName = Annotated[str, Meta(max_length=HEADER_CHARACTERS_MAX)]
Key = Annotated[str, Meta(min_length=1, max_length=40)]


class Layout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a checkout puts its signature, and what it signs. Header names in any case."""

    header: Annotated[
        HeaderName,
        Meta(description="Required but for `basic` and the named ones: the header that holds the signature or token."),
    ] = ""
    scheme: Annotated[
        Literal["hmac", "token", "basic", "standard_webhooks", "svix"],
        Meta(
            description="`hmac` is described by the other fields; `token` is the secret itself in `header`, `basic` is Basic auth, its secret `user:password`; "
            "`standard_webhooks` and `svix` need nothing else."
        ),
    ] = "hmac"
    encoding: Annotated[
        Literal["hex", "base64", "either"], Meta(description="How the digest is written; `either` tells the two apart.")
    ] = "either"
    prefix: Annotated[
        str, Meta(max_length=40, description="What stands before the digest, such as `sha256=`; it may be missing.")
    ] = ""
    separator: Annotated[
        str,
        Meta(
            max_length=3,
            description="What stands between several signatures in one header; those without the prefix are let be.",
        ),
    ] = ""
    signature_key: Annotated[
        Key | None,
        Meta(description="The header holds pairs such as `t=…,v1=…`; signatures stand under this name (`v1`)."),
    ] = None
    timestamp_key: Annotated[
        Key | None, Meta(description="The timestamp stands in the same header, under this name (`t`).")
    ] = None
    timestamp_header: Annotated[HeaderName | None, Meta(description="The timestamp stands in a header of its own.")] = (
        None
    )
    timestamp_form: Annotated[
        Literal["unix_s", "unix_ms", "rfc3339"], Meta(description="How the timestamp is written.")
    ] = "unix_s"
    id_header: Annotated[HeaderName | None, Meta(description="The header that holds the `{id}` of the message.")] = None
    message: Annotated[
        str,
        Meta(
            max_length=MESSAGE_CHARACTERS_MAX,
            description="What is signed, made of `{body}` (the raw bytes) and perhaps `{timestamp}`, `{id}` and `{url}` (the source's own).",
            examples=["{timestamp}.{body}"],
        ),
    ] = "{body}"
    tolerance_s: Annotated[
        int, Meta(ge=1, le=TOLERANCE_S_MAX, description="How far the timestamp may lie from our clock, on both sides.")
    ] = TOLERANCE_S
    key_form: Annotated[
        Literal["typed", "base64", "whsec", "typed_or_whsec"],
        Meta(
            description="The key is the secret as typed, the bytes it is base64 of, or those behind its `whsec_`; `typed_or_whsec` takes either."
        ),
    ] = "typed"


PLAIN = Layout(header="x-ariane-signature", prefix="sha256=")
STANDARD = Layout(
    header="webhook-signature",
    encoding="base64",
    prefix="v1,",
    separator=" ",
    timestamp_header="webhook-timestamp",
    id_header="webhook-id",
    message="{id}.{timestamp}.{body}",
    key_form="whsec",
)
SVIX = msgspec.structs.replace(
    STANDARD, header="svix-signature", timestamp_header="svix-timestamp", id_header="svix-id"
)
NAMED_LAYOUTS = {"standard_webhooks": STANDARD, "svix": SVIX}
SITE = "x-ariane-site"
"""The header in which a module of ours names the shop it is installed in."""
KEPT_HEADERS = frozenset(
    {"content-type", SITE, PLAIN.header, "x-ariane-type", "x-ariane-delivery", "webhook-id", "webhook-timestamp", STANDARD.header,
     "svix-id", "svix-timestamp", SVIX.header}
)  # fmt: skip


# ── Settings ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_layout(given: object) -> Layout:
    """The layout in `settings.signature`. ValueError (msgspec's names the place) for an unknown field or a wrong type."""
    try:
        layout = msgspec.convert(given, Layout)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if layout.scheme in NAMED_LAYOUTS:
        if layout != Layout(scheme=layout.scheme):
            raise ValueError(f"the scheme {layout.scheme} says all by itself: leave out the other fields")
        return NAMED_LAYOUTS[layout.scheme]
    if layout.scheme == "basic" and not layout.header:
        return msgspec.structs.replace(layout, header="authorization")
    if not layout.header and not (isinstance(given, Mapping) and "header" in given):
        raise msgspec.ValidationError(f"header is required with the scheme {layout.scheme}")
    return layout


def faults(layout: Layout) -> Iterator[tuple[str, str]]:
    """The contradictions in a layout: (field, what would be right)."""
    for field in ("header", "timestamp_header", "id_header"):
        name = getattr(layout, field)
        barred = BARRED_HEADERS - {"authorization"} if field == "header" and layout.scheme in UNKEPT else BARRED_HEADERS
        if name is not None and (not _NAME.fullmatch(name) or name.lower() in barred):
            yield field, f"{name[:40]!r} is not a header that could hold it"
    if layout.scheme in UNKEPT:
        if layout != Layout(header=layout.header, prefix=layout.prefix, scheme=layout.scheme):
            yield "scheme", f"{layout.scheme} signs nothing: of the other fields only header and prefix mean something"
        return
    if layout.message.count("{body}") != 1:
        yield "message", "must hold {body} exactly once: what is not signed could be changed on the way"
    elif re.search("[{}]", re.sub("|".join(map(re.escape, PLACEHOLDERS)), "", layout.message)):
        yield "message", "knows {body}, {timestamp}, {id} and {url}"
    timed = layout.timestamp_key is not None or layout.timestamp_header is not None
    if layout.timestamp_key is not None and layout.timestamp_header is not None:
        yield "timestamp_header", "the timestamp stands in one place: leave out timestamp_header or timestamp_key"
    if timed and "{timestamp}" not in layout.message:
        yield "message", "must hold {timestamp}: a time that is not signed proves nothing"
    if "{timestamp}" in layout.message and not timed:
        yield "timestamp_header", "is required (or timestamp_key), because the message holds {timestamp}"
    if ("{id}" in layout.message) != (layout.id_header is not None):
        yield "id_header", "goes with {id} in the message: give both or neither"
    if layout.signature_key is None and layout.timestamp_key is not None:
        yield "signature_key", "is required with timestamp_key: the header holds pairs"
    if layout.signature_key is not None and not layout.separator:
        yield "separator", "is required with signature_key: what stands between the pairs"


def named_headers(settings: Mapping[str, object]) -> frozenset[str]:
    """The headers (lower case) that these settings read: of the signature, and those a mapping names as `header:Name`."""
    resolved = resolve(settings)
    given = resolved.get("signature")
    found = {text.removeprefix(NAMED) for text in _texts(resolved.get("mapping")) if text.startswith(NAMED)}
    kept: frozenset[str] = frozenset()
    if isinstance(given, Mapping):
        found |= {str(given[name]) for name in ("header", "timestamp_header", "id_header") if given.get(name)}
        # What holds the password itself is taken out by `conceal` before anything is kept.
        kept = frozenset({str(given.get("header") or "authorization").lower()} if given.get("scheme") in UNKEPT else ())
        kept |= {URL} if "{url}" in str(given.get("message", "")) else frozenset()
    return (frozenset(name.lower() for name in found) - BARRED_HEADERS) | kept


def conceal(
    query: str, headers: Mapping[str, str], body: bytes, settings: Mapping[str, object]
) -> tuple[str, dict[str, str], bytes]:
    """The message without a token or password in its header, and with the proof of it in its place. Concealing again changes nothing."""
    given = resolve(settings).get("signature")
    left = dict(headers)
    if not isinstance(given, Mapping) or given.get("scheme") not in UNKEPT:
        return query, left, body
    text = left.pop(str(given.get("header") or "authorization").lower(), "").strip()
    if text:
        left[PROOF] = hmac.digest(encoded(_token(given, text)), body, "sha256").hex()
    return query, {**left, BY_TOKEN: str(given["scheme"])}, body


def _token(layout: Mapping[str, object], text: str) -> str:
    if layout["scheme"] != "basic":
        return text.removeprefix(str(layout.get("prefix") or "")).strip()
    coded = decode(text[len("basic ") :].strip()) if text[:6].lower() == "basic " else None
    return text if coded is None else coded.decode("utf-8", "surrogateescape")


def timestamps(headers: Mapping[str, str], settings: Mapping[str, object]) -> list[str]:
    """The texts in which the headers say when the message was sent: by Standard Webhooks, and by a signature of the source's own."""
    standard = ("webhook-timestamp", "svix-timestamp")
    texts = [headers[name] for name in standard if name in headers]
    layout = resolve(settings).get("signature")
    if not isinstance(layout, dict):
        return texts
    own = headers.get(str(layout.get("timestamp_header", "")).lower())
    texts += [] if own is None else [own]
    if layout.get("timestamp_key"):
        header = headers.get(str(layout.get("header", "")).lower(), "")
        texts += values_named(header, str(layout["timestamp_key"]), str(layout.get("separator") or ","))
    return texts


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


# ── Verifying ────────────────────────────────────────────────────────────────────────────────────────────────────────


def verify(
    body: bytes, headers: Mapping[str, str], secrets: Sequence[str], *, now_s: float, settings: Mapping[str, object]
) -> str | None:
    """See `Verify`."""
    if not secrets:
        return UNARMED
    given = resolve(settings).get("signature")
    if given is None:
        layout = next((each for each in (PLAIN, SVIX) if headers.get(each.header)), STANDARD)
    else:
        try:
            layout = read_layout(given)
        except ValueError:
            return MALFORMED
    if layout.scheme in UNKEPT:
        return _verify_token(body, headers, secrets, settings)
    return _verify(layout, body, headers, secrets, now_s)


def _verify_token(
    body: bytes, headers: Mapping[str, str], secrets: Sequence[str], settings: Mapping[str, object]
) -> str | None:
    shown = conceal("", headers, body, settings)[1].get(PROOF, "")
    if not shown:
        return MISSING
    proof = read_hex(shown)
    if proof is None:
        return MALFORMED
    return None if signed(map(encoded, secrets), body, [proof]) else WRONG


def sign(layout: Layout, body: bytes, secret: str, *, at: datetime, message_id: str, url: str = "") -> dict[str, str]:
    """The headers with which a checkout of this layout would send the body."""
    if layout.scheme == "token":
        return {layout.header: layout.prefix + secret}
    if layout.scheme == "basic":
        return {layout.header: f"Basic {base64.b64encode(encoded(secret)).decode()}"}
    unix_s = int(at.timestamp())
    timestamp = {"unix_s": str(unix_s), "unix_ms": f"{unix_s}000", "rfc3339": at.isoformat()}[layout.timestamp_form]
    message = _message(layout.message, body, {"{timestamp}": timestamp, "{id}": message_id, "{url}": url})
    digest = hmac.digest(next(_keys(layout, [secret]), b""), message, "sha256")
    text = layout.prefix + (base64.b64encode(digest).decode() if layout.encoding == "base64" else digest.hex())
    if layout.signature_key is not None:
        timed = [] if layout.timestamp_key is None else [f"{layout.timestamp_key}={timestamp}"]
        text = layout.separator.join([*timed, f"{layout.signature_key}={text}"])
    headers = {layout.header: text}
    if layout.timestamp_header is not None:
        headers[layout.timestamp_header] = timestamp
    if layout.id_header is not None:
        headers[layout.id_header] = message_id
    return headers


def _verify(
    layout: Layout, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], now_s: float
) -> str | None:
    text = headers.get(layout.header.lower(), "")
    parts = text.split(layout.separator)[:SIGNATURES_MAX] if layout.separator else [text]
    timestamp, message_id = "", ""
    if layout.timestamp_key is not None:
        # The last one, should there be two: it is signed with the message, so only the sender can have put it there.
        timestamp = next(reversed([value for key, value in map(_pair, parts) if key == layout.timestamp_key]), "")
    elif layout.timestamp_header is not None:
        timestamp = headers.get(layout.timestamp_header.lower(), "")
    if layout.id_header is not None:
        message_id = headers.get(layout.id_header.lower(), "")
    wanted = "{timestamp}" in layout.message
    if not text or (wanted and not timestamp) or (layout.id_header is not None and not message_id):
        return MISSING
    sent_s = _read_moment(layout, timestamp) if wanted else None
    signatures = list(_read_signatures(layout, parts))
    if not signatures or (wanted and sent_s is None):
        return MALFORMED
    values = {"{timestamp}": timestamp, "{id}": message_id, "{url}": headers.get(URL, "")}
    message = _message(layout.message, body, values)
    if not signed(_keys(layout, secrets), message, signatures):
        return WRONG
    # Last, so that `stale_timestamp` always means: the right sender, the wrong time.
    return STALE if sent_s is not None and abs(now_s - sent_s) > layout.tolerance_s else None


def _pair(part: str) -> tuple[str, str]:
    key, _, value = part.partition("=")
    return key, value


def _read_signatures(layout: Layout, parts: Sequence[str]) -> Iterator[bytes]:
    read = {"hex": read_hex, "base64": read_base64, "either": read_digest}[layout.encoding]
    for part in parts:
        text = part
        if layout.signature_key is not None:
            key, text = _pair(part)
            if key != layout.signature_key:
                continue
        elif layout.separator and not part.startswith(layout.prefix):
            # A signature of another version: a sender that signs with two accepts either.
            continue
        digest = read(text.removeprefix(layout.prefix))
        if digest is not None:
            yield digest


def _read_moment(layout: Layout, text: str) -> float | None:
    """The timestamp in Unix seconds; None for anything else."""
    if layout.timestamp_form == "rfc3339":
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        return None if moment.tzinfo is None else moment.timestamp()
    if layout.timestamp_form == "unix_ms":
        # The last three digits do not matter to a tolerance of seconds.
        return read_timestamp(text[:-3]) if text[-3:].isascii() and text[-3:].isdigit() else None
    return read_timestamp(text)


def _message(template: str, body: bytes, values: Mapping[str, str]) -> bytes:
    """The signed bytes. Values are filled in once, so that an id that looks like a placeholder stays as it is."""
    before, _, after = template.partition("{body}")
    filled = (
        re.sub(r"\{timestamp\}|\{id\}|\{url\}", lambda found: values[found[0]], text) if "{" in text else text
        for text in (before, after)
    )
    return body.join(map(encoded, filled))


def _keys(layout: Layout, secrets: Sequence[str]) -> Iterator[bytes]:
    for secret in secrets:
        is_coded = layout.key_form == "base64" or secret.startswith(STANDARD_PREFIX)
        if layout.key_form in ("typed", "typed_or_whsec") or not is_coded:
            yield encoded(secret)
        if layout.key_form == "typed" or not is_coded:
            continue
        text = secret.removeprefix(STANDARD_PREFIX).rstrip("=")
        key = decode(text + "=" * (-len(text) % 4))
        # An empty key would let everybody sign.
        if key:
            yield key
