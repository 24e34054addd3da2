"""Paddle: one notification destination, and a checkout that carries click and code in its custom data."""

from app.platforms.kit.guide import Connection, Guide, GuidePaste, GuideSnippet, GuideStep, key_step, script, trial_step


def guide(connection: Connection) -> Guide:
    """The destination alone is enough for neither click nor code: the checkout hands both over."""
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
