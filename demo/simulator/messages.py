"""What all simulated checkouts share: the message, the vendors' documented bodies, and HMAC."""

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import Any

from demo.simulator import DOCUMENTS

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One request to a webhook address. query: without the question mark."""

    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    query: str = ""

    def with_headers(self, headers: Mapping[str, str]) -> "Message":
        """This message with more headers."""
        return replace(self, headers={**self.headers, **headers})


Sign = Callable[[Message, str, datetime], Message]
"""Proves a message under a secret at a time, as the vendor documents it."""


@cache
def _read(name: str) -> str:
    return (DOCUMENTS / name).read_text()


def document(name: str) -> Json:
    """A fresh copy of a vendor's documented message."""
    found: Json = json.loads(_read(name))
    return found


def post(body: object, headers: Mapping[str, str] | None = None) -> Message:
    """An unsigned message of JSON, in UTF-8 and without spaces."""
    encoded = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    return Message(encoded, {"Content-Type": "application/json", **(headers or {})})


def hmac_sha256(secret: str | bytes, message: bytes) -> bytes:
    """The digest that every vendor signs with."""
    return hmac.digest(secret.encode() if isinstance(secret, str) else secret, message, "sha256")


def unix_s(moment: datetime) -> int:
    """Whole seconds since 1970."""
    return int(moment.timestamp())
