"""What the guide of a generic source hands out: how this very source signs, and a script that sends it an order the way its settings read one."""

import json
from collections.abc import Mapping

from app import clock
from app.errors import Invalid
from app.platforms.generic.mapping import read_mapping
from app.platforms.generic.signature import PLAIN, UNKEPT, Layout, read_layout
from app.platforms.generic.trial import write_order
from app.platforms.kit.trial import TrialOrder
from app.platforms.presets import resolve

CODE, CLICK = "LEA10", "clk_1"
NET_MINOR = 4_500
OWN_BODY = {
    "order_id": "1001", "codes": [CODE], "click_id": CLICK, "net_minor": NET_MINOR, "currency": "EUR", "test": True,
}  # fmt: skip
MOMENTS = {"unix_s": "$(date +%s)", "unix_ms": "$(date +%s)000", "rfc3339": "$(date -u +%Y-%m-%dT%H:%M:%SZ)"}
"""The present in each form of a timestamp, as a shell writes it."""
VARIABLES = {"{timestamp}": "$TIMESTAMP", "{id}": "$ID", "{url}": "$HOOK_URL", "{body}": "$BODY"}


def guide_values(settings: Mapping[str, object]) -> dict[str, str]:
    """The texts and the script of a source with these settings."""
    resolved = resolve(settings)
    layout = PLAIN if resolved.get("signature") is None else read_layout(resolved["signature"])
    mapped = resolved.get("mapping") is not None
    own = "the body of POST /v1/{} as JSON"
    return {
        "ordering": "a message that settings.mapping reads as one" if mapped else own.format("conversions"),
        "refunding": "A message that settings.mapping reads as one" if mapped else own.format("refunds").capitalize(),
        "signing": signing(layout, standard=resolved.get("signature") is None),
        **script(layout, *_order(resolved)),
    }


def signing(layout: Layout, *, standard: bool) -> str:
    """How a source signs, in a sentence or two. standard: Standard Webhooks will do as well."""
    if layout.scheme == "basic":
        return "Basic auth (the header Authorization) with the secret this source was given, which is user:password."
    if layout.scheme == "token":
        return f"the secret this source was given, in the header {layout.header}: {layout.prefix}<secret>."
    over = (
        "the raw bytes of the body" if layout.message == "{body}" else f"{layout.message} ({{body}} is its raw bytes)"
    )
    digest = "base64" if layout.encoding == "base64" else "hex"
    value = f"{layout.prefix}<{digest}>"
    if layout.signature_key is not None:
        timed = [] if layout.timestamp_key is None else [f"{layout.timestamp_key}=<timestamp>"]
        value = layout.separator.join([*timed, f"{layout.signature_key}={value}"])
    beside = [
        f"the {what} in {name}"
        for what, name in (("timestamp", layout.timestamp_header), ("id", layout.id_header))
        if name
    ]
    said = f"HMAC-SHA256 over {over}, with the secret this source was given, in the header {layout.header}: {value}"
    also = (
        " Senders that follow Standard Webhooks may use that instead; settings.signature describes any other."
        if standard
        else ""
    )
    return f"{'; '.join([said, *beside])}.{also}"


def _order(resolved: Mapping[str, object]) -> tuple[object, Mapping[str, str]]:
    """A test order in the words of the source, with its headers; in our own where its mapping reads none."""
    now = clock.now()
    order = TrialOrder(1001, "EUR", NET_MINOR, 0, now, now, code=CODE, click_id=CLICK)
    if resolved.get("mapping") is None:
        return OWN_BODY, {}
    try:
        return write_order(read_mapping(resolved["mapping"]), order, "1001")
    except (Invalid, ValueError):
        return OWN_BODY, {}


def script(layout: Layout, message: object, headers: Mapping[str, str]) -> dict[str, str]:
    """The parts of a shell script that sends this message, signed: how it is signed, and the headers for curl. SECRET holds the secret."""
    lines = [f"BODY={_quoted(json.dumps(message, ensure_ascii=False))}"]
    given = [
        f"-H {_quoted(f'{name}: {text}')}" for name, text in {"Content-Type": "application/json", **headers}.items()
    ]
    if layout.scheme in UNKEPT:
        coded = 'Basic $(printf %s "$SECRET" | openssl base64 -A)'
        token = coded if layout.scheme == "basic" else f"{_literal(layout.prefix)}$SECRET"
        return {
            "sign_by_hand": "\n".join(lines),
            "headers_by_hand": " ".join([*given, f'-H "{layout.header}: {token}"']),
        }
    if "{timestamp}" in layout.message:
        lines.append(f"TIMESTAMP={MOMENTS[layout.timestamp_form]}")
    if layout.id_header is not None:
        lines.append('ID="msg_$(date +%s)_$$"')
    key = '-hmac "$SECRET"'
    if layout.key_form != "typed":
        coded = 'printf %s "${SECRET#whsec_}" | openssl base64 -d -A'
        if layout.key_form != "base64":
            coded = f'case "$SECRET" in whsec_*) {coded} ;; *) printf %s "$SECRET" ;; esac'
        lines.append(f"KEY=$({{ {coded}; }} | od -An -v -tx1 | tr -d ' \\n')")
        key = '-mac HMAC -macopt "hexkey:$KEY"'
    written = "-binary | openssl base64 -A" if layout.encoding == "base64" else "-r | cut -d' ' -f1"
    lines.append(f'SIGNATURE=$(printf %s "{_filled(layout.message)}" | openssl dgst -sha256 {key} {written})')
    value = f"{_literal(layout.prefix)}$SIGNATURE"
    if layout.signature_key is not None:
        timed = [] if layout.timestamp_key is None else [f"{_literal(layout.timestamp_key)}=$TIMESTAMP"]
        value = _literal(layout.separator).join([*timed, f"{_literal(layout.signature_key)}={value}"])
    sent = {layout.header: value}
    if layout.timestamp_header is not None:
        sent[layout.timestamp_header] = "$TIMESTAMP"
    if layout.id_header is not None:
        sent[layout.id_header] = "$ID"
    signed = [f'-H "{name}: {text}"' for name, text in sent.items()]
    return {"sign_by_hand": "\n".join(lines), "headers_by_hand": " ".join([*given, *signed])}


def _quoted(text: str) -> str:
    """A text in single quotes of a shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def _literal(text: str) -> str:
    """A text as it stands, within double quotes of a shell."""
    return "".join(f"\\{each}" if each in '\\"$`' else each for each in text)


def _filled(template: str) -> str:
    """The signed message within double quotes: its placeholders are variables, everything else stands as it is."""
    filled = _literal(template)
    for placeholder, variable in VARIABLES.items():
        filled = filled.replace(placeholder, f"${{{variable[1:]}}}")
    return filled
