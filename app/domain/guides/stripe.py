"""Stripe: one event destination, the click in `client_reference_id`, and the ids that its promotion codes go by."""

from app.domain.guides.parts import Connection, Guide, Paste, Snippet, Step, key_step, script, trial_step

EVENTS = (
    "checkout.session.completed", "checkout.session.async_payment_succeeded", "checkout.session.async_payment_failed", "invoice.paid",
    "invoice_payment.paid", "payment_intent.succeeded", "refund.created", "refund.updated", "refund.failed", "charge.refunded",
    "charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed",
)  # fmt: skip

LINKS = """<script>
  ariane('click_id', function (id) {
    document.querySelectorAll('a[href^="https://buy.stripe.com/"]').forEach(function (link) {
      var address = new URL(link.href);
      address.searchParams.set('client_reference_id', id);
      link.href = address.href;
    });
  });
</script>
"""


def guide(connection: Connection) -> Guide:
    """The secret comes after the source: Stripe shows it once the destination exists."""
    return Guide(
        page="docs/connect/stripe.md",
        steps=(
            Step(
                "Add an event destination",
                "In Stripe: Developers → Webhooks → Add destination; events of your account, payload style snapshot, type Webhook endpoint, with "
                f"these events: {', '.join(EVENTS)}.",
                Paste("Endpoint URL", connection.url),
            ),
            Step(
                "Give Ariane the signing secret",
                "Stripe shows it on the destination's page. Send it whole, with its whsec_; while you roll it, send both. Test mode and live mode "
                "have secrets of their own: one source may hold both.",
                Paste(f"PATCH /v1/sources/{connection.source_id}", '{"secrets": ["whsec_…"]}'),
            ),
            *key_step(connection),
            Step(
                "Let the order carry its click",
                "Where your server makes the session: client_reference_id, or click_id in its metadata, with the click id the shopper landed with. "
                "Payment links: the snippet appends it to their addresses. Subscriptions: subscription_data[metadata][click_id], so that renewals know it.",
            ),
            Step(
                "Say which promotion code is which",
                "Stripe names a promotion code by an id, never by what was typed. The id stands in the address of its page; tell it once for each code.",
                Paste("PATCH /v1/codes/{id}", '{"aliases": ["promo_…"]}'),
            ),
            trial_step(connection),
        ),
        snippets=(
            Snippet(
                "every page", "html", "before </head> of every page with payment links", script(connection) + LINKS
            ),
        ),
    )
