"""Checkouts that are connected by a table of settings alone: how they sign, and where in their messages an order stands.

To add one: a folder with its `SETTINGS` and its guide, and a line in `PRESETS`. Nothing else knows their names.
"""

from collections.abc import Mapping

from app.platforms.presets import paddle, prestashop

PRESETS: Mapping[str, Mapping[str, object]] = {
    "paddle": paddle.SETTINGS,
    "prestashop": prestashop.SETTINGS,
}


def resolve(settings: Mapping[str, object]) -> Mapping[str, object]:
    """The settings, completed by those of their preset. An unknown preset (of another release) adds nothing."""
    preset = PRESETS.get(str(settings.get("preset")))
    return settings if preset is None else {**preset, **settings}
