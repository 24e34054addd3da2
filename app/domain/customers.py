"""Customers without their identity: a keyed hash of the shop's customer id or e-mail, and the tokens that stand for these in a kept message."""

import hmac
import re
from uuid import UUID

KEY_CHARACTERS = 32
PURPOSE = "customer"
"""Purpose under which app/secret.py derives the secret of `customer_key`."""
EMAIL_TOKEN_END = "@customer.invalid"  # noqa: S105  no password
"""`.invalid` is nobody's domain (RFC 2606)."""
ID_TOKEN_BEGIN = "customer-"  # noqa: S105  no password

_EMAIL_TOKEN = re.compile(rf"([0-9a-f]{{{KEY_CHARACTERS}}}){re.escape(EMAIL_TOKEN_END)}")
_ID_TOKEN = re.compile(rf"{ID_TOKEN_BEGIN}([0-9a-f]{{{KEY_CHARACTERS}}})")


def customer_key(secret: bytes, brand_id: UUID, customer_id: str | None, email: str | None) -> str | None:
    """The key of a customer of this brand, 32 hex characters; None when neither is known.

    The e-mail goes first: guests, accounts, pixels and influencers (a self-referral) all have one, while an id is known to one shop system
    only. Case and surrounding spaces of an e-mail do not matter. Another brand has another key for the same person. A token in place of either
    is the key that it holds, so that a kept message gives what the received one gave.
    """
    email = (email or "").strip().casefold()
    customer_id = (customer_id or "").strip()
    if "@" in email:
        token = _EMAIL_TOKEN.fullmatch(email)
        name = f"email:{email}"
    elif customer_id or email:
        token = _ID_TOKEN.fullmatch(customer_id or email)
        name = f"id:{customer_id or email}"
    else:
        return None
    if token is not None:
        return token[1]
    message = brand_id.bytes + name.encode(errors="surrogatepass")
    return hmac.digest(secret, message, "sha256").hex()[:KEY_CHARACTERS]


def customer_keys(secret: bytes, brand_id: UUID, customer_id: str | None, email: str | None) -> list[str]:
    """The keys by which orders may know this person, sorted: that of the e-mail, and that of the id, for orders without an e-mail."""
    keys = {customer_key(secret, brand_id, None, email), customer_key(secret, brand_id, customer_id, None)}
    return sorted(key for key in keys if key is not None)


def email_token(key: str) -> str:
    """What stands in place of the e-mail whose key this is."""
    return f"{key}{EMAIL_TOKEN_END}"


def id_token(key: str) -> str:
    """What stands in place of the customer's id whose key this is."""
    return f"{ID_TOKEN_BEGIN}{key}"
