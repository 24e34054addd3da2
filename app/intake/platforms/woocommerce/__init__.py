"""WooCommerce: `webhook.parse` reads a delivery; `goods` and `refunds` say how its money is counted."""
