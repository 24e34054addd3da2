"""PrestaShop, which has no webhooks: the messages of the small module on the page docs/connect/prestashop.md, which is ours.

Each message is the whole order, credit slips included, in the names of PrestaShop's own tables: the newest is complete, in whatever order messages
arrive and whichever got lost. Amounts are texts of major units, without tax. `discount` is what the vouchers took off the goods: PrestaShop's own
`total_discounts_tax_excl` also holds the shipping that a voucher for free shipping took. The reference is no name of an order: the orders that
one cart is split over share it.
"""

from collections.abc import Mapping

SETTINGS: Mapping[str, object] = {
    "signature": {
        "header": "X-Ariane-Signature",
        "encoding": "hex",
        "prefix": "sha256=",
        "timestamp_header": "X-Ariane-Timestamp",
        "message": "{timestamp}.{body}",
    },
    "mapping": {
        "amounts": "major",
        "topic": "/event",
        "rules": [
            {
                "read": "order",
                "order_id": "/order/id_order",
                "occurred_at": "/order/date_add",
                "updated_at": "/sent_at",
                "currency": "/order/currency",
                "items": "/order/total_products",
                "discount": "/order/discount",
                "tax": "/order/total_tax",
                "shipping": "/order/total_shipping_tax_excl",
                "paid": "/order/valid",
                "cancelled": "/order/cancelled",
                "codes": "/order_cart_rule/*/code",
                "click_id": "/ariane",
                "customer_id": "/customer/id_customer",
                "customer_email": "/customer/email",
                "test": "/test",
                "lines": {
                    "each": "/order_detail/*",
                    "id": "/id_order_detail",
                    "quantity": "/product_quantity",
                    "sku": "/product_reference",
                    "name": "/product_name",
                    "net": "/total_price_tax_excl",
                },
                "refunds": {
                    "each": "/order_slip/*",
                    "refund_id": "/id_order_slip",
                    "net": "/total_products_tax_excl",
                    "occurred_at": "/date_add",
                    "updated_at": "/date_upd",
                },
            }
        ],
    },
}
