"""Which version of WooCommerce's REST API built an order. Each webhook has its own (*API Version*), and a shop may have webhooks of several.

- **v3** is what we ask for, and **v2** reads alike.
- **v1** has no `meta_data`, so no click travels in it, and none of the times `…_gmt`: `date_created` and `date_modified` are UTC in it alone.
  Its `date_paid` is the shop's local time, of which we only read that there is one.
- **Legacy API v3** puts all of the order into `order`, under other names: it is refused by name.
"""

import re

from app.platforms.kit.vendor_json import Json, nested, objects, text_of

OLDER = (1, 2)
LINKS_MAX = 20
_API = re.compile(r"/wc/v(\d)/")
_MOMENTS = ("date_created", "date_modified", "date_paid")


def as_v3(order: Json, notes: list[str]) -> Json:
    """The order with the names of v3. Adds `webhook_api_v1` or `webhook_api_v2` to `notes`, which the source's health says."""
    version = _version_of(order)
    if version not in OLDER:
        return order
    notes.append(f"webhook_api_v{version}")
    return order if version != 1 else {**{f"{name}_gmt": order.get(name) for name in _MOMENTS}, **order}


def is_legacy(found: Json) -> bool:
    """Whether this is an order of the Legacy API v3."""
    return isinstance(nested(found, "order", "order_number"), int | str) and "id" not in found


def _version_of(order: Json) -> int | None:
    """As the order's own address says, else 1 where nothing is there that v1 does not have."""
    links = order.get("_links")
    for link in objects(links.get("self"), LINKS_MAX, "_links.self") if isinstance(links, dict) else ():
        if (said := _API.search(text_of(link.get("href")) or "")) is not None:
            return int(said[1])
    since_v2 = {"meta_data", *(f"{name}_gmt" for name in _MOMENTS)}
    return 1 if "date_modified" in order and not since_v2 & order.keys() else None
