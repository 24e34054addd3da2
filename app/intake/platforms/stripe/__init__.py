"""Stripe: `webhook.parse` reads an event; `orders` and `refunds` say what its objects mean, `amounts` how its money is counted."""
