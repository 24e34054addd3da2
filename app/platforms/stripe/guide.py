"""Stripe: one event destination, the click in `client_reference_id`, and the ids of promotion codes."""

from app.platforms.kit.guide import Connection, Guide, GuidePaste, GuideSnippet, GuideStep, key_step, script, trial_step

EVENTS = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "invoice.paid",
    "invoice_payment.paid",
    "payment_intent.succeeded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.refunded",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
)

LINKS = """<script>
  ariane('click_id', function (id) {
    if (!id) return;
    document.querySelectorAll('a[href^="https://buy.stripe.com/"]').forEach(function (link) {
      var url = new URL(link.href);
      url.searchParams.set('client_reference_id', id);
      link.href = url.href;
    });
    document.querySelectorAll('stripe-buy-button, stripe-pricing-table').forEach(function (element) {
      element.setAttribute('client-reference-id', id);
    });
  });
</script>
"""


def guide(connection: Connection) -> Guide:
    """Events first: with the ids of promotion codes they are enough for codes. The rest brings the click along."""
    return Guide(
        page="docs/connect/stripe.md",
        steps=(
            GuideStep(
                "Add the event destination",
                "In Stripe: Developers → Webhooks → Add destination (Workbench: Event destinations). Events of your account, payload style "
                f"snapshot, destination type Webhook endpoint. Select: {', '.join(EVENTS)}.",
                GuidePaste("Endpoint URL", connection.url),
            ),
            GuideStep(
                "Give Ariane the signing secret",
                "The destination's page reveals it: “Signing secret”, whsec_… and all. It replaces what held its place when this source was made; "
                "while you roll it, and for test mode beside live mode, send both.",
                GuidePaste(f"PATCH /v1/sources/{connection.source_id}", '{"secrets": ["whsec_…"]}'),
            ),
            *key_step(connection),
            GuideStep(
                "Hand the click id on",
                "Payment Links, buy buttons and pricing tables: put the snippet “links” at the end of each page that has one. A checkout of your own: "
                "set client_reference_id of the session, or click_id in the metadata of the session or payment intent, to the click id that "
                "the page knows; for renewals also subscription_data[metadata][click_id].",
            ),
            GuideStep(
                "Say which promotion code is which",
                "Stripe reports promotion codes by their ids alone. Give each code of GET /v1/codes the ids it has in Stripe: they stand in the "
                "address of the promotion code's page. Orders that came before are decided again.",
                GuidePaste("PATCH /v1/codes/{id}", '{"aliases": ["promo_…"]}'),
            ),
            trial_step(connection),
        ),
        snippets=(
            GuideSnippet("every page", "html", "before </head> of every page", script(connection)),
            GuideSnippet("links", "html", "before </body> of the pages that sell", LINKS),
        ),
    )
