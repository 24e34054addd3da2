"""Paddle Billing: https://developer.paddle.com/webhooks. Transactions are orders, adjustments refunds; amounts are texts of minor units.

- Net is `details.totals.subtotal − discount`: both before tax, and never changed by an adjustment (`adjusted_totals` is).
- `transaction.updated` is sent for carts as well: only what is paid or completed is an order.
- A refund counts once Paddle has approved it. A chargeback or credit that is reversed becomes `reversed`, and a second adjustment gives the money
  back: so the first goes on counting, and the second is read as the reversal.
- A transaction names its discount by id (`dsc_…`) and not by the code that was typed: the code is taken from `custom_data.code`, else the id is.
"""

from collections.abc import Mapping

_TRANSACTIONS = ["transaction.completed", "transaction.paid", "transaction.updated", "transaction.revised"]
_ADJUSTMENTS = {"at": "/event_type", "equals": ["adjustment.created", "adjustment.updated"]}
_STANDS = {"at": "/data/status", "equals": ["approved", "reversed"]}


def _adjustment(read: str, *actions: str) -> dict[str, object]:
    return {
        "read": read,
        "when": [_ADJUSTMENTS, {"at": "/data/action", "equals": list(actions)}, _STANDS],
        "order_id": "/data/transaction_id",
        "refund_id": "/data/id",
        "currency": "/data/currency_code",
        "net": "/data/totals/subtotal",
        "occurred_at": "/data/created_at",
        "updated_at": ["/data/updated_at", "/occurred_at"],
        "lines": {"each": "/data/items/*", "id": "/item_id", "net": "/totals/subtotal"},
    }


SETTINGS: Mapping[str, object] = {
    "signature": {
        "header": "Paddle-Signature",
        "encoding": "hex",
        "separator": ";",
        "signature_key": "h1",
        "timestamp_key": "ts",
        "message": "{timestamp}:{body}",
    },
    "mapping": {
        "amounts": "minor",
        "topic": "/event_type",
        "rules": [
            {
                "read": "order",
                "when": [
                    {"at": "/event_type", "equals": _TRANSACTIONS},
                    {"at": "/data/status", "equals": ["paid", "completed"]},
                ],
                "order_id": "/data/id",
                # The shop's own number of the order, if it hands it over: its pixel and its server use this name.
                "refs": "/data/custom_data/order_id",
                "occurred_at": ["/data/billed_at", "/data/created_at"],
                "updated_at": ["/data/updated_at", "/occurred_at"],
                "currency": "/data/currency_code",
                "items": "/data/details/totals/subtotal",
                "discount": "/data/details/totals/discount",
                "tax": "/data/details/totals/tax",
                "paid": {"at": "/data/status", "equals": ["paid", "completed"]},
                "codes": ["/data/custom_data/code", "/data/discount/code", "/data/discount_id"],
                "click_id": ["/data/custom_data/ariane", "/data/custom_data/click_id"],
                "visitor_id": "/data/custom_data/visitor_id",
                "customer_id": "/data/customer_id",
                "customer_email": "/data/customer/email",
                "test": "/data/custom_data/ariane_test",
                "lines": {
                    "each": "/data/details/line_items/*",
                    "id": "/id",
                    "quantity": "/quantity",
                    "sku": "/price_id",
                    "name": "/product/name",
                    "items": "/totals/subtotal",
                    "discount": "/totals/discount",
                },
            },
            _adjustment("refund", "refund", "credit"),
            _adjustment("chargeback", "chargeback"),
            _adjustment("reversal", "chargeback_reverse", "credit_reverse"),
            {"read": "ignored"},
        ],
    },
}
