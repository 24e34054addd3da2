"""Any checkout that can sign what it sends; and the two that are connected by a preset, each with a guide of its own."""

import json
from collections.abc import Callable, Mapping

from app.platforms.kit.guide import Connection, Guide, GuidePaste, GuideSnippet, GuideStep, key_step, script, trial_step

ORDER = {"order_id": "1001", "codes": ["LEA10"], "click_id": "clk_…", "net_minor": 4500, "currency": "EUR"}


def guide(connection: Connection) -> Guide:
    """One address, one signature; of its preset, where it has one."""
    return PRESET_GUIDES.get(str(connection.settings.get("preset")), _plain)(connection)


def _plain(connection: Connection) -> Guide:
    """The bodies of the API. A mapping of the source's own says where they stand in another body."""
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


def _paddle(connection: Connection) -> Guide:
    return Guide(
        page="docs/connect/paddle.md",
        steps=(
            GuideStep(
                "Add a notification destination",
                "In Paddle: Developer tools → Notifications → New destination; type URL; the events transaction.completed, transaction.paid, "
                "transaction.updated, adjustment.created, adjustment.updated.",
                GuidePaste("URL", connection.url),
            ),
            GuideStep(
                "Give Ariane the secret key",
                "It stands on the destination's page (pdl_ntfset_…). Send it whole; while you rotate, send both.",
                GuidePaste(f"PATCH /v1/sources/{connection.source_id}", '{"secrets": ["pdl_ntfset_…"]}'),
            ),
            *key_step(connection),
            GuideStep(
                "Let the transaction carry its click and its code",
                "Paddle's webhook names a discount by its id only. Where your page opens the checkout, hand both over; without a click "
                "the first is undefined, and the checkout opens all the same.",
                GuidePaste(
                    "Paddle.Checkout.open, customData",
                    "{ariane: ariane('click_id'), code: typedCode, order_id: yourOwnNumber}",
                ),
            ),
            trial_step(connection),
        ),
        snippets=(GuideSnippet("every page", "html", "before </head> of every page", script(connection)),),
    )


def _prestashop(connection: Connection) -> Guide:
    return Guide(
        page="docs/connect/prestashop.md",
        steps=(
            GuideStep(
                "Install the module",
                "PrestaShop has no webhooks; the module of one file on docs/connect/prestashop.md sends its orders. Put this address and the secret of "
                "this source where it says so, zip the folder, and upload it in Modules → Module Manager → Upload a module.",
                GuidePaste("const URL", f"'{connection.url}'"),
            ),
            *key_step(connection),
            GuideStep(
                "Keep the click until the order",
                "Put the snippet into the theme's <head>. Codes need nothing: they are the cart rules of the order.",
            ),
            GuideStep("Create the codes", "Catalog → Discounts → Cart rules, with the codes that GET /v1/codes lists."),
            trial_step(connection),
        ),
        snippets=(GuideSnippet("theme", "html", "before </head> in the theme", script(connection) + PRESTASHOP_CLICK),),
    )


PRESTASHOP_CLICK = """<script>
ariane('click_id', function (id) { if (id) document.cookie = 'ariane_click=' + encodeURIComponent(id) + ';path=/;max-age=2592000;samesite=lax'; });
</script>
"""
PRESET_GUIDES: Mapping[str, Callable[[Connection], Guide]] = {"paddle": _paddle, "prestashop": _prestashop}
