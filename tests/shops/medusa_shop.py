"""A Medusa shop with two tax rates, taxed shipping, two currencies and two codes; and what its customers and its staff do, through its own API."""

from dataclasses import dataclass, field
from typing import Any

from tests.shops.calls import call

PRICES = {"SERUM": {"eur": 24, "usd": 25}, "BOOK": {"eur": 21.10, "usd": 24}}
"""With tax in euros, without in dollars. The serum is taxed at 20 %, the book at 5.5 %."""
BOOK_RATE, RATE = 5.5, 20
SHIPPING = {"eur": 6, "usd": 5}
CODES = {"LEA10": 10, "MAX20": 20}
"""Codes, and the percentage that each takes off the goods."""
STAFF = {"email": "staff@example.com", "password": "of the test"}
FIELDS = (
    "id,status,currency_code,total,item_total,item_tax_total,*items,*promotions,"
    "*payment_collections.payments,*payment_collections.payments.captures,*payment_collections.payments.refunds"
)


@dataclass
class MedusaShop:
    """The running shop at this address."""

    url: str
    variants: dict[str, str] = field(default_factory=dict)
    regions: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    customers: int = 0

    def __post_init__(self) -> None:
        token, _ = call("POST", f"{self.url}/auth/user/emailpass", STAFF)
        self.staff = {"Authorization": f"Bearer {token['token']}"}
        self.storefront: dict[str, str] = {}

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """A call of the administration's API."""
        return call(method, f"{self.url}/admin/{path}", body, self.staff)[0]

    def store(self, method: str, path: str, body: Any = None) -> Any:
        """A call of the storefront's API."""
        return call(method, f"{self.url}/store/{path}", body, self.storefront)[0]

    # ── Its owner ────────────────────────────────────────────────────────────────────────────────────────────────────

    def furnish(self) -> None:
        """Everything that must be there before the first order."""
        channel = self.admin("POST", "sales-channels", {"name": "Web"})["sales_channel"]["id"]
        key = self.admin("POST", "api-keys", {"title": "Web", "type": "publishable"})["api_key"]
        self.admin("POST", f"api-keys/{key['id']}/sales-channels", {"add": [channel]})
        self.storefront = {"x-publishable-api-key": key["token"]}
        [store] = self.admin("GET", "stores")["stores"]
        currencies = [{"currency_code": code, "is_default": code == "eur", "is_tax_inclusive": code == "eur"} for code in ("eur", "usd")]  # fmt: skip
        self.admin("POST", f"stores/{store['id']}", {"supported_currencies": currencies})
        for currency, country in (("eur", "fr"), ("usd", "us")):
            region = {
                "name": country, "currency_code": currency, "countries": [country], "payment_providers": ["pp_system_default"],
                "automatic_taxes": True, "is_tax_inclusive": currency == "eur",
            }  # fmt: skip
            self.regions[currency] = self.admin("POST", "regions", region)["region"]["id"]
        profile = self._deliver(channel)
        products = self._stock(channel, profile)
        for country in ("fr", "us"):
            taxed = {"country_code": country, "provider_id": "tp_system", "default_tax_rate": {"name": "all", "code": "all", "rate": RATE}}  # fmt: skip
            region_id = self.admin("POST", "tax-regions", taxed)["tax_region"]["id"]
            rules = [{"reference": "product", "reference_id": products["BOOK"]}]
            book = {"tax_region_id": region_id, "name": "books", "code": "books", "rate": BOOK_RATE, "rules": rules}
            self.admin("POST", "tax-rates", book)
        for code, percent in CODES.items():
            method = {"type": "percentage", "target_type": "items", "allocation": "across", "value": percent}
            self.admin("POST", "promotions", {"code": code, "type": "standard", "status": "active", "application_method": method})  # fmt: skip

    def _deliver(self, channel: str) -> str:
        """The way parcels go; the id of the shipping profile."""
        place = self.admin("POST", "stock-locations", {"name": "Cellar"})["stock_location"]["id"]
        self.admin("POST", f"stock-locations/{place}/sales-channels", {"add": [channel]})
        self.admin("POST", f"stock-locations/{place}/fulfillment-providers", {"add": ["manual_manual"]})
        sets = self.admin(
            "POST",
            f"stock-locations/{place}/fulfillment-sets?fields=*fulfillment_sets",
            {"name": "Post", "type": "shipping"},
        )
        [ways] = sets["stock_location"]["fulfillment_sets"]
        zones = [{"type": "country", "country_code": country} for country in ("fr", "us")]
        whole = self.admin(
            "POST",
            f"fulfillment-sets/{ways['id']}/service-zones?fields=*service_zones",
            {"name": "World", "geo_zones": zones},
        )
        [zone] = whole["fulfillment_set"]["service_zones"]
        profiles = self.admin("GET", "shipping-profiles")["shipping_profiles"]
        made = profiles[0] if profiles else self.admin("POST", "shipping-profiles", {"name": "All", "type": "default"})["shipping_profile"]  # fmt: skip
        profile = str(made["id"])
        option = {
            "name": "Post", "service_zone_id": zone["id"], "shipping_profile_id": profile, "provider_id": "manual_manual", "price_type": "flat",
            "type": {"label": "Post", "description": "Post", "code": "post"}, "rules": [],
            "prices": [{"currency_code": currency, "amount": amount} for currency, amount in SHIPPING.items()],
        }  # fmt: skip
        self.options["post"] = self.admin("POST", "shipping-options", option)["shipping_option"]["id"]
        return profile

    def _stock(self, channel: str, profile: str) -> dict[str, str]:
        """The ids of the products by their SKU."""
        products = {}
        for sku, prices in PRICES.items():
            variant = {
                "title": "One", "sku": sku, "manage_inventory": False, "options": {"Size": "One"},
                "prices": [{"currency_code": currency, "amount": amount} for currency, amount in prices.items()],
            }  # fmt: skip
            product = self.admin(
                "POST", "products",
                {
                    "title": sku, "status": "published", "options": [{"title": "Size", "values": ["One"]}], "variants": [variant],
                    "sales_channels": [{"id": channel}], "shipping_profile_id": profile,
                },
            )["product"]  # fmt: skip
            products[sku] = str(product["id"])
            self.variants[sku] = product["variants"][0]["id"]
        return products

    # ── Its customers ────────────────────────────────────────────────────────────────────────────────────────────────

    def order(
        self, *goods: tuple[str, int], code: str = "", currency: str = "eur", click: str = "", captured: bool = True
    ) -> dict[str, Any]:
        """A guest's order, from the first item to the payment."""
        self.customers += 1
        where = {
            "first_name": "Ada", "last_name": "Byron", "address_1": "1 rue de la Paix", "city": "Paris", "postal_code": "75002",
            "country_code": "fr" if currency == "eur" else "us",
        }  # fmt: skip
        cart = self.store(
            "POST", "carts",
            {
                "region_id": self.regions[currency], "email": f"ada.{self.customers}@example.com",
                "shipping_address": where, "billing_address": where, "metadata": {"ariane": click} if click else {},
            },
        )["cart"]["id"]  # fmt: skip
        for sku, quantity in goods:
            self.store("POST", f"carts/{cart}/line-items", {"variant_id": self.variants[sku], "quantity": quantity})
        if code:
            self.store("POST", f"carts/{cart}/promotions", {"promo_codes": [code]})
        self.store("POST", f"carts/{cart}/shipping-methods", {"option_id": self.options["post"]})
        collection = self.store("POST", "payment-collections", {"cart_id": cart})["payment_collection"]["id"]
        self.store("POST", f"payment-collections/{collection}/payment-sessions", {"provider_id": "pp_system_default"})
        placed = self.store("POST", f"carts/{cart}/complete")
        assert placed["type"] == "order", placed
        order = self.read(placed["order"]["id"])
        if captured:
            self.capture(order)
        return order

    # ── Its staff ────────────────────────────────────────────────────────────────────────────────────────────────────

    def read(self, order_id: str) -> dict[str, Any]:
        """The order as the administration shows it."""
        found: dict[str, Any] = self.admin("GET", f"orders/{order_id}?fields={FIELDS}")["order"]
        return found

    def capture(self, order: dict[str, Any], amount: float | None = None) -> None:
        """The authorised payment is taken, all of it or a part."""
        self.admin("POST", f"payments/{_payment(order)}/capture", {} if amount is None else {"amount": amount})

    def refund(self, order: dict[str, Any], amount: float) -> None:
        """Money goes back, with tax. Medusa knows not for what."""
        self.admin("POST", f"payments/{_payment(order)}/refund", {"amount": amount})

    def edit(self, order: dict[str, Any], sku: str, quantity: int) -> None:
        """A line gets another quantity, or the goods a further line."""
        self.admin("POST", "order-edits", {"order_id": order["id"]})
        line = next((each["id"] for each in order["items"] if each["variant_sku"] == sku), None)
        if line is None:
            added = {"items": [{"variant_id": self.variants[sku], "quantity": quantity}]}
            self.admin("POST", f"order-edits/{order['id']}/items", added)
        else:
            self.admin("POST", f"order-edits/{order['id']}/items/item/{line}", {"quantity": quantity})
        self.admin("POST", f"order-edits/{order['id']}/request", {})
        self.admin("POST", f"order-edits/{order['id']}/confirm", {})

    def take_return(self, order: dict[str, Any], sku: str, quantity: int) -> None:
        """Pieces that were sent come back, and are in the cellar again."""
        line = next(each["id"] for each in order["items"] if each["variant_sku"] == sku)
        items = [{"id": line, "quantity": quantity}]
        sent = [{"id": each["id"], "quantity": each["quantity"]} for each in order["items"]]
        self.admin("POST", f"orders/{order['id']}/fulfillments", {"items": sent})
        back = self.admin("POST", "returns", {"order_id": order["id"]})["return"]["id"]
        self.admin("POST", f"returns/{back}/request-items", {"items": items})
        self.admin("POST", f"returns/{back}/request", {})
        self.admin("POST", f"returns/{back}/receive", {})
        self.admin("POST", f"returns/{back}/receive-items", {"items": items})
        self.admin("POST", f"returns/{back}/receive/confirm", {})

    def cancel(self, order: dict[str, Any]) -> None:
        """The order; Medusa gives back what was captured."""
        self.admin("POST", f"orders/{order['id']}/cancel")


def _payment(order: dict[str, Any]) -> str:
    return str(order["payment_collections"][0]["payments"][0]["id"])
