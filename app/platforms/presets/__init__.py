"""Checkouts that are connected by settings alone: how they sign, and where in their messages an order stands.

To add one: a folder with its `settings.toml` and its `guide.toml`. Nothing else knows their names;
a system that shops run on stands in `SHOP_SYSTEMS`, too.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path

PRESETS: Mapping[str, Mapping[str, object]] = {
    path.parent.name: tomllib.loads(path.read_text("utf-8"))
    for path in sorted(Path(__file__).parent.glob("*/settings.toml"))
}

SHOP_SYSTEMS = frozenset({"medusa", "vendure", "prestashop", "saleor", "shopware"})
"""Presets that are the system a shop runs on; the others take its payments."""


def resolve(settings: Mapping[str, object]) -> Mapping[str, object]:
    """The settings, completed by those of their preset. An unknown preset (of another release) adds nothing."""
    preset = PRESETS.get(str(settings.get("preset")))
    return settings if preset is None else {**preset, **settings}
