"""Customers without their identity: a keyed hash of the shop's customer id or e-mail."""

import hmac
from uuid import UUID

KEY_CHARACTERS = 32
PURPOSE = "customer"
"""Purpose under which app/secret.py derives the secret of `customer_key`."""


def customer_key(secret: bytes, brand_id: UUID, customer_id: str | None, email: str | None) -> str | None:
    """The key of a customer of this brand, 32 hex characters; None when neither is known.

    The e-mail goes first: guests, accounts, pixels and influencers (a self-referral) all have one, while an id is known to one shop system
    only. Case and surrounding spaces of an e-mail do not matter. Another brand has another key for the same person.
    """
    email = (email or "").strip().casefold()
    customer_id = (customer_id or "").strip()
    if "@" in email:
        name = f"email:{email}"
    elif customer_id or email:
        name = f"id:{customer_id or email}"
    else:
        return None
    message = brand_id.bytes + name.encode(errors="surrogatepass")
    return hmac.digest(secret, message, "sha256").hex()[:KEY_CHARACTERS]
