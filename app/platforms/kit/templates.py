"""Guides and messages that stand as data beside the code: each `{{name}}` in them stands for a value."""

import re
from collections.abc import Mapping
from typing import Any

_NAME = re.compile(r"\{\{(\w+)\}\}", re.ASCII)


def fill(part: Any, values: Mapping[str, Any]) -> Any:
    """The part with values in place of names, in all its objects and lists. A text that is one name and nothing else becomes the value itself."""
    if isinstance(part, dict):
        return {key: fill(each, values) for key, each in part.items()}
    if isinstance(part, list):
        return [fill(each, values) for each in part]
    if not isinstance(part, str):
        return part
    alone = _NAME.fullmatch(part)
    return values[alone[1]] if alone else _NAME.sub(lambda found: str(values[found[1]]), part)
