"""A canary in every personal field of every checkout's messages, and of the pixel's and the beacon's."""

import base64
import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from demo.simulator import prestashop, stripe, woocommerce
from demo.simulator.messages import Message, document, hmac_sha256
from tests.checkouts.signing import CHECKOUTS, Checkout

WORD = "Canary"
"""Part of every canary that is a text."""
NUMBER = 7_272_727_272
"""The customer's id where it is a number."""
EMAIL = "canary.bird+shop@canary-mail.example"
V4, V6 = "203.0.113.77", "2001:db8:7777::c0de:c0de"
FOUND = (WORD.encode(), str(NUMBER).encode(), b"canary", b"203.0.113.77", b"2001:db8:7777", b"c0de:c0de")
"""What must be nowhere."""
NAME = f"{WORD} Bird"
PHONE = "+49 170 Canary"
FREE = f"write to {EMAIL}, or from {V4} and {V6}"
PAGE = f"https://shop.example/?source=abc&email={EMAIL.replace('@', '%40')}&ip={V4}"


@dataclass(frozen=True, slots=True)
class Bird:
    """One message before it is signed."""

    checkout: Checkout
    document: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str | None = None


def address(*names: str) -> dict[str, Any]:
    """An address with these names for its parts, each of them a canary."""
    return dict.fromkeys(names, NAME)


SHOPIFY_ADDRESS = address(
    "first_name", "last_name", "name", "address1", "address2", "city", "zip", "province", "country", "company", "phone"
) | {"latitude": float(f"{NUMBER}.5"), "longitude": float(f"{NUMBER}.25")}


def shopify_order(**changed: Any) -> dict[str, Any]:
    """Shopify's documented order, with canaries."""
    order: dict[str, Any] = deepcopy(document("shopify_order_rest_2024-04.json"))
    order |= {
        "email": EMAIL, "contact_email": EMAIL, "phone": PHONE, "browser_ip": V4, "note": FREE, "billing_address": SHOPIFY_ADDRESS,
        "shipping_address": SHOPIFY_ADDRESS, "landing_site": PAGE, "referring_site": PAGE, "order_status_url": f"https://shop.example/{WORD}",
        "client_details": {"browser_ip": V6, "user_agent": NAME, "accept_language": NAME, "session_hash": NAME},
        "note_attributes": [{"name": "gift_for", "value": NAME}, {"name": "free", "value": FREE}],
        "payment_details": {"credit_card_name": NAME}, "tags": f"for {EMAIL}",
    }  # fmt: skip
    order["customer"] |= {
        "id": NUMBER,
        "email": EMAIL,
        "first_name": NAME,
        "last_name": NAME,
        "phone": PHONE,
        "note": FREE,
        "tags": NAME,
    }
    order["customer"]["admin_graphql_api_id"] = f"gid://shopify/Customer/{NUMBER}"
    order["customer"]["default_address"] = SHOPIFY_ADDRESS | {"customer_id": NUMBER}
    for line in (*order["line_items"], *order["fulfillments"][0]["line_items"]):
        line["properties"] = [{"name": "engraving", "value": NAME}]
    return order | changed


def _shopify() -> Iterator[Bird]:
    shop = CHECKOUTS["shopify"]
    yield Bird(shop, shopify_order(), {"X-Shopify-Topic": "orders/paid"})
    refund = document("shopify_refund_rest_2024-04.json") | {"note": FREE}
    yield Bird(shop, refund, {"X-Shopify-Topic": "refunds/create"})
    request = {
        "shop_domain": "s.myshopify.com",
        "customer": {"id": NUMBER, "email": EMAIL, "phone": PHONE},
        "orders_requested": [299938],
    }
    yield Bird(shop, request, {"X-Shopify-Topic": "customers/data_request"})
    ignored = {"id": 1, "email": EMAIL, "shipping_address": SHOPIFY_ADDRESS, "note": FREE}
    yield Bird(shop, ignored, {"X-Shopify-Topic": "carts/update"})


def _woocommerce() -> Iterator[Bird]:
    order: dict[str, Any] = deepcopy(document("woocommerce_order_v3.json"))
    where = address(
        "first_name", "last_name", "company", "address_1", "address_2", "city", "state", "postcode", "country", "phone"
    )
    meta = [
        {"id": 1, "key": "_gift_for", "value": NAME},
        {"id": 2, "key": "_wc_order_attribution_user_agent", "value": NAME},
    ]
    order |= {
        "customer_id": NUMBER, "customer_ip_address": V4, "customer_user_agent": NAME, "customer_note": FREE, "billing": where | {"email": EMAIL},
        "shipping": where, "meta_data": [*meta, {"id": 3, "key": "nested", "value": {"who": NAME, "at": FREE}}],
        "_links": {"customer": [{"href": f"https://example.com/wp-json/wc/v3/customers/{NUMBER}"}]},
    }  # fmt: skip
    order["line_items"][0]["meta_data"] = [{"id": 1, "key": "engraving", "value": NAME, "display_value": NAME}]
    yield Bird(CHECKOUTS["woocommerce"], order, {"X-WC-Webhook-Topic": "order.created"})
    older = woocommerce.in_version(order | {"refunds": [{"id": 9, "reason": NAME, "total": "-1.00"}]}, 1)
    older["line_items"][0]["meta"] = [{"key": "engraving", "label": "Engraving", "value": NAME}]
    yield Bird(CHECKOUTS["woocommerce"], older, {"X-WC-Webhook-Topic": "order.updated"})


def _stripe() -> Iterator[Bird]:
    where = {"line1": NAME, "line2": NAME, "city": NAME, "postal_code": NAME, "state": NAME, "country": NAME}
    who = {
        "email": EMAIL,
        "name": NAME,
        "phone": PHONE,
        "address": where,
        "tax_ids": [{"type": "eu_vat", "value": NAME}],
    }
    session = stripe.session()
    session["data"]["object"] |= {
        "customer": "cus_Canary", "customer_details": who, "customer_email": EMAIL, "shipping_details": {"name": NAME, "address": where},
        "collected_information": {"shipping_details": {"name": NAME, "address": where}}, "metadata": {"gift_for": NAME, "free": FREE},
        "custom_fields": [{"key": "engraving", "text": {"value": NAME}}],
    }  # fmt: skip
    yield Bird(CHECKOUTS["stripe"], session)
    invoice = stripe.invoice()
    invoice["data"]["object"] |= {
        "customer": {"id": "cus_Canary", "object": "customer", **who}, "customer_name": NAME, "customer_phone": PHONE, "customer_address": where,
        "customer_shipping": {"name": NAME, "phone": PHONE, "address": where}, "customer_email": EMAIL, "description": FREE,
        "hosted_invoice_url": f"https://invoice.stripe.com/{WORD}",
    }  # fmt: skip
    yield Bird(CHECKOUTS["stripe"], invoice)
    charge = stripe.charge_refunded(2000)
    charge["data"]["object"] |= {
        "billing_details": who,
        "receipt_email": EMAIL,
        "shipping": {"name": NAME, "address": where},
        "customer": "cus_Canary",
    }
    yield Bird(CHECKOUTS["stripe"], charge)
    note = stripe.credit_note_object(
        "cn_1", "in_1", 500, 400, 1_795_305_134, memo=FREE, pdf=f"https://pay.stripe.com/{WORD}"
    )
    note |= {"customer": "cus_Canary", "metadata": {"gift_for": NAME}}
    yield Bird(CHECKOUTS["stripe"], stripe.event("credit_note.created", note))
    created = stripe.session() | {"id": "evt_created", "type": "customer.created"}
    created["data"] = {"object": {"id": "cus_1", "object": "customer", **who}}
    yield Bird(CHECKOUTS["stripe"], created)


def _sign_square(message: Message, secret: str, at: datetime) -> Message:
    """Over the address of the source, which is empty where no door wrote it down, and the body."""
    digest = base64.b64encode(hmac_sha256(secret, message.body)).decode()
    return message.with_headers({"x-square-hmacsha256-signature": digest})


SQUARE = replace(CHECKOUTS["generic"], name="square", sign=_sign_square, settings={"preset": "square"})


def _others() -> Iterator[Bird]:
    order = {
        "order_id": "W-1", "net_minor": 4_990, "currency": "EUR", "codes": ["LEA10"], "customer": {"id": str(NUMBER), "email": EMAIL},
    }  # fmt: skip
    yield Bird(CHECKOUTS["generic"], order)
    lemon: dict[str, Any] = deepcopy(document("lemonsqueezy_order_created.json"))
    lemon["data"]["attributes"] |= {
        "customer_id": NUMBER, "user_name": NAME, "user_email": EMAIL, "urls": {"receipt": f"https://app.lemonsqueezy.com/{WORD}"},
    }  # fmt: skip
    lemon["meta"]["custom_data"]["gift_for"] = NAME
    yield Bird(CHECKOUTS["lemonsqueezy"], lemon)
    payment: dict[str, Any] = deepcopy(document("square_payment_updated.json"))
    payment["data"]["object"]["payment"] |= {
        "customer_id": "CANARY123", "buyer_email_address": EMAIL, "billing_address": {"first_name": NAME, "locality": NAME, "address_line_1": NAME},
        "shipping_address": {"last_name": NAME, "postal_code": NAME}, "receipt_url": f"https://squareup.com/{WORD}",
        "card_details": {"card": {"cardholder_name": NAME, "fingerprint": WORD, "last_4": WORD}}, "external_details": {"source": NAME},
    }  # fmt: skip
    yield Bird(SQUARE, payment)
    paddle: dict[str, Any] = deepcopy(document("paddle_transaction_completed.json"))
    paddle["data"] |= {
        "customer_id": "ctm_Canary", "customer": {"id": "ctm_Canary", "email": EMAIL, "name": NAME}, "billing_details": {"additional_information": FREE},
        "address": {"first_line": NAME, "city": NAME, "postal_code": NAME}, "ip_address": V6,
    }  # fmt: skip
    paddle["data"]["custom_data"]["gift_for"] = NAME
    yield Bird(CHECKOUTS["paddle"], paddle)
    polar: dict[str, Any] = deepcopy(document("polar_order_paid.json"))
    polar["data"]["customer"] |= {
        "email": EMAIL,
        "name": NAME,
        "billing_name": NAME,
        "external_id": NAME,
        "tax_id": [NAME],
    }
    polar["data"] |= {
        "billing_name": NAME, "billing_address": {"line1": NAME, "city": NAME}, "custom_field_data": {"gift_for": NAME},
        "subscription": {"customer_cancellation_comment": FREE},
    }  # fmt: skip
    polar["data"]["metadata"]["gift_for"] = NAME
    yield Bird(CHECKOUTS["polar"], polar)
    saleor: dict[str, Any] = deepcopy(document("saleor_order_paid.json"))
    saleor["order"] |= {
        "userEmail": EMAIL, "user": {"id": "VXNlcjpDYW5hcnk=", "email": EMAIL, "firstName": NAME},
        "billingAddress": {"firstName": NAME, "streetAddress1": NAME}, "shippingAddress": {"phone": PHONE}, "customerNote": FREE,
    }  # fmt: skip
    yield Bird(CHECKOUTS["saleor"], saleor)
    shopware: dict[str, Any] = deepcopy(document("shopware_order_paid.json"))
    shopware["data"]["payload"]["order"] |= {
        "customerComment": FREE, "addresses": [{"firstName": NAME, "street": NAME, "phoneNumber": PHONE, "additionalAddressLine1": NAME}],
        "orderCustomer": {"customerId": "customerCanary", "email": EMAIL, "firstName": NAME, "company": NAME, "remoteAddress": V4},
        "deliveries": [{"shippingOrderAddress": {"firstName": NAME, "zipcode": NAME, "city": NAME}}],
        "customFields": {"gift_for": NAME},
    }  # fmt: skip
    yield Bird(CHECKOUTS["shopware"], shopware)
    presta = deepcopy(prestashop.EXAMPLE) | {
        "customer": {"id_customer": NUMBER, "email": EMAIL, "firstname": NAME, "lastname": NAME},
        "address": {"address1": NAME, "city": NAME, "phone_mobile": PHONE}, "message": FREE,
    }  # fmt: skip
    yield Bird(CHECKOUTS["prestashop"], presta)
    for shop in ("medusa", "vendure"):
        # Their senders leave names and addresses in the shop; a changed one may not.
        whole: dict[str, Any] = deepcopy(document(f"{shop}_order.json"))
        whole["customer"] = {"id": "cus_Canary", "email": EMAIL, "first_name": NAME}
        whole |= {
            "shipping_address": {"address_1": NAME, "phone": PHONE},
            "metadata": {"gift_for": NAME},
            "email": EMAIL,
        }
        yield Bird(CHECKOUTS[shop], whole)
    parameters = {
        "order_id": "P-1",
        "amount": "49.90",
        "currency": "EUR",
        "customer": EMAIL,
        "phone": PHONE,
        "ip": V4,
        "sub1": FREE,
    }
    yield Bird(
        CHECKOUTS["postback"],
        parameters,
        {"Content-Type": "application/json"},
        f"event=sale&first_name={WORD}&sub2={V6}",
    )
    escaped = EMAIL.replace("+", "%2B").replace("@", "%40")
    yield Bird(
        CHECKOUTS["everflow"],
        None,
        {},
        f"transaction_id=clk_1&amount=44.90&event_id=0&email={escaped}&session_ip={V4}&sub3={escaped}",
    )


BIRDS = (*_shopify(), *_woocommerce(), *_stripe(), *_others())

_ESCAPED = EMAIL.replace("+", "%2B").replace("@", "%40")
HITS = (
    ("pixel", f"event=sale&order_id=77&amount=12.00&currency=EUR&customer={_ESCAPED}&name={WORD}+Bird&page=https%3A%2F%2Fs%2F%3Fmail%3D{_ESCAPED}"),
    ("pixel", f"event=sale&order_id=78&email={_ESCAPED}&customer_id={NUMBER}&ip={V4}"),
    ("beacon", json.dumps({"event": "sale", "order_id": "79", "customer": {"id": str(NUMBER), "email": EMAIL, "name": NAME}, "phone": PHONE, "extra": FREE})),
    ("beacon", json.dumps({"event": "lead", "order_id": "80", "customer": EMAIL, "address": {"street": NAME}, "extra": [V6]})),
)  # fmt: skip
"""Door and content of hits."""
