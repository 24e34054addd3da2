"""Any checkout that can sign what it sends. One that is connected by a preset has a guide of its own, in the folder of the preset."""

import json
from collections.abc import Callable, Mapping
from importlib import import_module

from app.platforms.kit.guide import Connection, Guide, GuidePaste, GuideSnippet, GuideStep, key_step, script, trial_step
from app.platforms.presets import PRESETS

PRESET_GUIDES: Mapping[str, Callable[[Connection], Guide]] = {
    name: import_module(f"app.platforms.presets.{name}.guide").guide for name in PRESETS
}
ORDER = {"order_id": "1001", "codes": ["LEA10"], "click_id": "clk_…", "net_minor": 4500, "currency": "EUR"}


def guide(connection: Connection) -> Guide:
    """The guide of the source's preset; else one address, one signature, and the bodies of the API."""
    of_preset = PRESET_GUIDES.get(str(connection.settings.get("preset")))
    if of_preset is not None:
        return of_preset(connection)
    body = json.dumps(ORDER, ensure_ascii=False)
    sender = f"""BODY='{body}'
SIGNATURE=$(printf %s "$BODY" | openssl dgst -sha256 -hmac "$SECRET" -r | cut -d' ' -f1)
curl -sS -H 'Content-Type: application/json' -H "X-Ariane-Signature: sha256=$SIGNATURE" '{connection.url}' -d "$BODY"
"""
    return Guide(
        page="docs/connect/generic.md",
        steps=(
            GuideStep(
                "Post each order",
                "From the server, when it is paid: the body of POST /v1/conversions as JSON, or a body of your own that settings.mapping "
                "reads. Send it again whenever in doubt: an order is one conversion for ever.",
                GuidePaste("address of the webhook", connection.url),
            ),
            GuideStep(
                "Sign it",
                "HMAC-SHA256 over the raw bytes of the body, with the secret this source was given, in the header X-Ariane-Signature: "
                "sha256=<hex>. Senders that follow Standard Webhooks may use that instead; settings.signature describes any other.",
            ),
            GuideStep("Post each refund", "The body of POST /v1/refunds, to the same address, signed in the same way."),
            *key_step(connection),
            GuideStep(
                "Hand the click id on",
                "Put the snippet “every page” into the shop and store what it knows with the order, so that it comes back as click_id. "
                "Orders with a code need nothing.",
            ),
            trial_step(connection),
        ),
        snippets=(
            GuideSnippet("every page", "html", "before </head> of every page", script(connection)),
            GuideSnippet("an order, signed", "sh", "a shell, to try it by hand; SECRET holds the secret", sender),
        ),
    )
