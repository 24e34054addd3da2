"""Any checkout that can sign what it sends."""

import json

from app.domain.guides.parts import Connection, Guide, Paste, Snippet, Step, key_step, script, trial_step

ORDER = {"order_id": "1001", "codes": ["LEA10"], "click_id": "clk_…", "net_minor": 4500, "currency": "EUR"}


def guide(connection: Connection) -> Guide:
    """One address, one signature, the bodies of the API."""
    body = json.dumps(ORDER, ensure_ascii=False)
    sender = f"""BODY='{body}'
SIGNATURE=$(printf %s "$BODY" | openssl dgst -sha256 -hmac "$SECRET" -r | cut -d' ' -f1)
curl -sS -H 'Content-Type: application/json' -H "X-Ariane-Signature: sha256=$SIGNATURE" '{connection.url}' -d "$BODY"
"""
    return Guide(
        page="docs/connect/generic.md",
        steps=(
            Step(
                "Post each order",
                "From the server, when it is paid: the body of POST /v1/conversions as JSON. Send it again whenever in doubt: an order is one "
                "conversion for ever.",
                Paste("address of the webhook", connection.url),
            ),
            Step(
                "Sign it",
                "HMAC-SHA256 over the raw bytes of the body, with the secret this source was given, in the header X-Ariane-Signature: "
                "sha256=<hex>. Senders that follow Standard Webhooks may use that instead.",
            ),
            Step("Post each refund", "The body of POST /v1/refunds, to the same address, signed in the same way."),
            *key_step(connection),
            Step(
                "Hand the click id on",
                "Put the snippet “every page” into the shop and store what it knows with the order, so that it comes back as click_id. "
                "Orders with a code need nothing.",
            ),
            trial_step(connection),
        ),
        snippets=(
            Snippet("every page", "html", "before </head> of every page", script(connection)),
            Snippet("an order, signed", "sh", "a shell, to try it by hand; SECRET holds the secret", sender),
        ),
    )
