"""A Vendure shop with two tax rates, taxed shipping, three currencies and two codes; and what its customers and its staff do, through its own API."""

from dataclasses import dataclass, field
from typing import Any

from tests.shops.calls import GraphQL

PRICES = {"SERUM": {"EUR": 2_400, "USD": 3_000, "JPY": 300_000}, "BOOK": {"EUR": 2_110, "USD": 2_532, "JPY": 253_200}}
"""Prices with tax, in hundredths as Vendure stores every currency. The serum is taxed at 20 %, the book at 5.5 %."""
RATES = {"SERUM": 20, "BOOK": 5.5}
SHIPPING = 600
"""With 20 % tax."""
CODES = {"LEA10": 10, "MAX20": 20}
"""Codes, and the percentage that each takes off the goods."""
ORDER = """id code state currencyCode subTotal subTotalWithTax totalWithTax couponCodes
  lines { id quantity productVariant { sku } } payments { id state amount refunds { id state total } }"""
FAILED = "... on ErrorResult { errorCode message }"


@dataclass
class VendureShop:
    """The running shop at this address."""

    url: str
    variants: dict[str, str] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)
    customers: int = 0

    def __post_init__(self) -> None:
        self.admin = GraphQL(f"{self.url}/admin-api")
        self.admin('mutation { login(username: "admin", password: "admin") { __typename } }')

    # ── Its owner ────────────────────────────────────────────────────────────────────────────────────────────────────

    def furnish(self) -> None:
        """Everything that must be there before the first order."""
        admin = self.admin
        country = admin(
            'mutation { createCountry(input: {code: "FR", enabled: true, translations: [{languageCode: en, name: "France"}]}) { id } }'
        )["id"]
        zone = admin(f'mutation {{ createZone(input: {{name: "Europe", memberIds: ["{country}"]}}) {{ id }} }}')["id"]
        channel = {
            "id": "1", "pricesIncludeTax": True, "defaultCurrencyCode": "EUR", "availableCurrencyCodes": ["EUR", "USD", "JPY"],
            "defaultTaxZoneId": zone, "defaultShippingZoneId": zone,
        }  # fmt: skip
        admin(f"mutation($input: UpdateChannelInput!) {{ updateChannel(input: $input) {{ __typename {FAILED} }} }}", input=channel)  # fmt: skip
        self._stock(zone)
        self._sell()

    def _stock(self, zone: str) -> None:
        admin = self.admin
        for sku, prices in PRICES.items():
            category = admin(f'mutation {{ createTaxCategory(input: {{name: "{sku}"}}) {{ id }} }}')["id"]
            rate = {"name": sku, "enabled": True, "value": RATES[sku], "categoryId": category, "zoneId": zone}
            admin("mutation($input: CreateTaxRateInput!) { createTaxRate(input: $input) { id } }", input=rate)
            text = [{"languageCode": "en", "name": sku, "slug": sku.lower(), "description": ""}]
            product = admin(
                "mutation($input: CreateProductInput!) { createProduct(input: $input) { id } }",
                input={"enabled": True, "translations": text},
            )["id"]
            variant = {
                "productId": product, "sku": sku, "taxCategoryId": category, "trackInventory": "FALSE",
                "translations": [{"languageCode": "en", "name": sku}],
            }  # fmt: skip
            [made] = admin(
                "mutation($input: [CreateProductVariantInput!]!) { createProductVariants(input: $input) { id } }",
                input=[variant],
            )
            self.variants[sku] = made["id"]
            # Vendure ignores those of other currencies when the variant is made.
            told = [{"currencyCode": currency, "price": price} for currency, price in prices.items()]
            admin(
                "mutation($input: [UpdateProductVariantInput!]!) { updateProductVariants(input: $input) { id } }",
                input=[{"id": made["id"], "prices": told}],
            )

    def _sell(self) -> None:
        admin = self.admin
        rate = {"rate": str(SHIPPING), "includesTax": "include", "taxRate": "20"}
        shipping = {
            "code": "post", "fulfillmentHandler": "manual-fulfillment",
            "checker": {"code": "default-shipping-eligibility-checker", "arguments": [{"name": "orderMinimum", "value": "0"}]},
            "calculator": {"code": "default-shipping-calculator", "arguments": _arguments(rate)},
            "translations": [{"languageCode": "en", "name": "Post", "description": ""}],
        }  # fmt: skip
        self.methods["post"] = admin(
            "mutation($input: CreateShippingMethodInput!) { createShippingMethod(input: $input) { id } }",
            input=shipping,
        )["id"]
        for name, at_once in (("paid-at-once", "true"), ("authorised", "false")):
            handler = {"code": "dummy-payment-handler", "arguments": _arguments({"automaticSettle": at_once})}
            text = [{"languageCode": "en", "name": name, "description": ""}]
            admin(
                "mutation($input: CreatePaymentMethodInput!) { createPaymentMethod(input: $input) { id } }",
                input={"code": name, "enabled": True, "handler": handler, "translations": text},
            )
        for code, percent in CODES.items():
            action = {"code": "order_percentage_discount", "arguments": _arguments({"discount": str(percent)})}
            text = [{"languageCode": "en", "name": f"From {code}"}]
            admin(
                f"mutation($input: CreatePromotionInput!) {{ createPromotion(input: $input) {{ __typename {FAILED} }} }}",
                input={
                    "enabled": True,
                    "couponCode": code,
                    "conditions": [],
                    "actions": [action],
                    "translations": text,
                },
            )

    # ── Its customers ────────────────────────────────────────────────────────────────────────────────────────────────

    def order(
        self,
        *goods: tuple[str, int],
        code: str = "",
        currency: str = "EUR",
        click: str = "",
        method: str = "paid-at-once",
    ) -> dict[str, Any]:
        """A guest's order, from the first item to the payment."""
        shop = GraphQL(f"{self.url}/shop-api?currencyCode={currency}")
        self.customers += 1
        for sku, quantity in goods:
            shop(
                f"mutation($id: ID!, $of: Int!) {{ addItemToOrder(productVariantId: $id, quantity: $of) {{ __typename {FAILED} }} }}",
                id=self.variants[sku], of=quantity,
            )  # fmt: skip
        if click:
            shop(
                "mutation($click: String!) { setOrderCustomFields(input: {customFields: {arianeClick: $click}}) { __typename } }",
                click=click,
            )
        if code:
            shop(f"mutation($code: String!) {{ applyCouponCode(couponCode: $code) {{ __typename {FAILED} }} }}", code=code)  # fmt: skip
        who = {"firstName": "Ada", "lastName": "Byron", "emailAddress": f"ada.{self.customers}@example.com"}
        shop(
            f"mutation($input: CreateCustomerInput!) {{ setCustomerForOrder(input: $input) {{ __typename {FAILED} }} }}",
            input=who,
        )
        where = {"streetLine1": "1 rue de la Paix", "city": "Paris", "postalCode": "75002", "countryCode": "FR"}
        shop(
            f"mutation($input: CreateAddressInput!) {{ setOrderShippingAddress(input: $input) {{ __typename {FAILED} }} }}",
            input=where,
        )
        shop(f"mutation($id: [ID!]!) {{ setOrderShippingMethod(shippingMethodId: $id) {{ __typename {FAILED} }} }}", id=[self.methods["post"]])  # fmt: skip
        shop(f'mutation {{ transitionOrderToState(state: "ArrangingPayment") {{ __typename {FAILED} }} }}')
        placed = shop(
            f"mutation($input: PaymentInput!) {{ addPaymentToOrder(input: $input) {{ ... on Order {{ id }} {FAILED} }} }}",
            input={"method": method, "metadata": {}},
        )
        return self.read(placed["id"])

    # ── Its staff ────────────────────────────────────────────────────────────────────────────────────────────────────

    def read(self, order_id: str) -> dict[str, Any]:
        """The order as the administration shows it."""
        found: dict[str, Any] = self.admin(f"query($id: ID!) {{ order(id: $id) {{ {ORDER} }} }}", id=order_id)
        return found

    def capture(self, order: dict[str, Any]) -> None:
        """The authorised payment is settled."""
        payment = order["payments"][0]["id"]
        self.admin(f"mutation($id: ID!) {{ settlePayment(id: $id) {{ __typename {FAILED} }} }}", id=payment)

    def edit(self, order: dict[str, Any], sku: str, quantity: int, *, give_back: int = 0) -> None:
        """A line gets another quantity; what is paid too much goes back, what is missing is paid."""
        self._move(order, "Modifying")
        paid_by = order["payments"][0]["id"]
        line = {"orderLineId": _line(order, sku), "quantity": quantity}
        edit: dict[str, Any] = {"dryRun": False, "orderId": order["id"], "adjustOrderLines": [line]}
        if give_back:
            edit["refunds"] = [{"paymentId": paid_by, "amount": give_back}]
        self.admin(
            f"mutation($input: ModifyOrderInput!) {{ modifyOrder(input: $input) {{ __typename {FAILED} }} }}",
            input=edit,
        )
        if give_back:
            self._settle_refunds(order)
            self._move(order, "PaymentSettled")
        else:
            self._move(order, "ArrangingAdditionalPayment")
            payment = {"orderId": order["id"], "method": "paid-at-once", "transactionId": "second", "metadata": {}}
            self.admin(
                f"mutation($input: ManualPaymentInput!) {{ addManualPaymentToOrder(input: $input) {{ __typename {FAILED} }} }}",
                input=payment,
            )
            self._move(order, "PaymentSettled")

    def refund(
        self, order: dict[str, Any], amount: int, *, of: dict[str, int] | None = None, shipping: int = 0
    ) -> None:
        """Money goes back, with tax: for units of lines, for shipping, or for nothing in particular."""
        lines = [{"orderLineId": _line(order, sku), "quantity": quantity} for sku, quantity in (of or {}).items()]
        asked = {"paymentId": order["payments"][0]["id"], "amount": amount, "lines": lines, "shipping": shipping, "adjustment": 0, "reason": ""}  # fmt: skip
        self.admin(
            f"mutation($input: RefundOrderInput!) {{ refundOrder(input: $input) {{ __typename {FAILED} }} }}",
            input=asked,
        )
        self._settle_refunds(order)

    def cancel(self, order: dict[str, Any], of: dict[str, int] | None = None) -> None:
        """The order, or units of its lines."""
        asked: dict[str, Any] = {"orderId": order["id"], "reason": "", "cancelShipping": of is None}
        if of is not None:
            asked["lines"] = [{"orderLineId": _line(order, sku), "quantity": quantity} for sku, quantity in of.items()]
        self.admin(
            f"mutation($input: CancelOrderInput!) {{ cancelOrder(input: $input) {{ __typename {FAILED} }} }}",
            input=asked,
        )

    def _move(self, order: dict[str, Any], state: str) -> None:
        self.admin(
            f"mutation($id: ID!, $state: String!) {{ transitionOrderToState(id: $id, state: $state) {{ __typename {FAILED} }} }}",
            id=order["id"], state=state,
        )  # fmt: skip

    def _settle_refunds(self, order: dict[str, Any]) -> None:
        for payment in self.read(order["id"])["payments"]:
            for refund in payment["refunds"]:
                if refund["state"] == "Pending":
                    settled = {"id": refund["id"], "transactionId": f"back-{refund['id']}"}
                    self.admin(
                        f"mutation($input: SettleRefundInput!) {{ settleRefund(input: $input) {{ __typename {FAILED} }} }}",
                        input=settled,
                    )


def _line(order: dict[str, Any], sku: str) -> str:
    return next(str(line["id"]) for line in order["lines"] if line["productVariant"]["sku"] == sku)


def _arguments(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]
