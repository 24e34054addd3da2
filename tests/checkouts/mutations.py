"""Damage that a message may take between a shop's database and us: cut, bits flipped, another type, too deep, too large, another encoding.

Every mutation is a choice of a seeded generator, so that its number is enough to repeat a case.
"""

import copy
import gzip
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from demo.simulator.messages import Message
from tests.checkouts.samples import SAMPLES, Sample

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DEPTH = 100_000

# Replacements of a value before encoding: other types, limits of the types, and what no column can hold.
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, 10**300, 0.5, -0.0, 1e308, 1e-308, "", " ", "0", "-1", "1e9",
    "NaN", "Infinity", "-0.00", "1_000", "0x10", "１２", "9" * 40, "1" * 5_000, "0." + "3" * 400, "x" * 100_000, "\0", "a\0b", "\ud800", "\udfff x",
    "\u202e", "é" * 300, "\x7f", "{order_id}", "2026-13-45T99:99:99Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1970-01-01",
    "2026-02-30T00:00:00Z", "EUR", "XXX", "eur ", "£", "gid://shopify/Order/1", "#", "##1", "orders/paid", [], [None], [[]], [1, "a", {}], {},
    {"": None}, {"id": {}}, {"amount": "x"}, [{}] * 1_200, ["a"] * 1_200, [{"id": 1}, {"id": 1}],
)  # fmt: skip
# Replacements of a value after encoding: what no JSON library writes.
RAW = (
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"1e999999", b"1e-999999", b"0e999999999", b"-0", b"00", b"1.", b"." , b"+1", b"0x1",
    b"1" * 400, b"1" * 5_000, b"0." + b"0" * 5_000 + b"1", b'"\\u0000"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d"', b'"\xff\xfe"', b'"\xc3"',
    b'"\xed\xa0\x80"', b'"a\nb"', b'"\\x41"', b"'a'", b"undefined", b"nul", b"tru", b"/* */ 1", b"[" * 2_000 + b"]" * 2_000, b"1E+2147483648",
    b'{"a":' * 500 + b"1" + b"}" * 500, b'{"id":1,"id":2}', b"1e19", b"1e18", b"12345678901234567890.123456789", b"-1.005", b"4.35e2",
)  # fmt: skip
CONTENT_TYPES = (
    "", "text/plain", "application/xml", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "application/json; charset=utf-16",
    "application/json; charset=nonsense", "application/octet-stream", "application/x-www-form-urlencoded; charset=latin-1", "\xff\xfe", "a" * 5_000,
)  # fmt: skip
WHOLE = (
    b"", b" ", b"\n", b"\0", b"null", b"true", b"0", b"-", b'""', b'"text"', b"[]", b"{}", b"[{}]", b"{", b"}", b'{"', b'{"a"', b'{"a":', b'{"a":1,}',
    b"[" * DEPTH, b"[" * DEPTH + b"]" * DEPTH, b'{"a":' * DEPTH, b"\xef\xbb\xbf{}", b"\xff\xfe{\0}\0", b"\xfe\xff\0{\0}", b"<?xml version='1.0'?><a/>",
    b"<html>502 Bad Gateway</html>", b"id=1&id=2", b"a=%ZZ&b=%", b"&" * 1_000, b"a=1&" * 1_000, b"=" * 1_000, b"%00=%00", b"webhook_id=", b"webhook_id=1x",
    b'{"id":1}', b'{"object":"event"}', b'{"object":"event","type":"invoice.paid","data":{"object":{}}}', b'{"type":"refund"}', b'{"order_id":[]}',
)  # fmt: skip


def paths(document: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path to every value in a document, the document itself included."""
    yield at
    pairs = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, value in pairs:
        yield from paths(value, (*at, name))


PATHS = {id(sample): tuple(paths(sample.document)) for sample in SAMPLES}


def put(document: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """A copy of the document with this value at the path; `...` removes what is there."""
    if not path:
        return {} if value is ... else value
    found = copy.deepcopy(document)
    inner = found
    for step in path[:-1]:
        inner = inner[step]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return found


def encode(document: Any, *, ascii_only: bool = True) -> bytes:
    """JSON of any value, lone surrogates included."""
    return json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


Mutation = Callable[[random.Random, Sample], bytes]
Typed = tuple[bytes, dict[str, str]]
"""A body, and headers in place of the right ones."""


def _swap(rng: random.Random, sample: Sample) -> bytes:
    document = sample.document
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        path = rng.choice(tuple(paths(document)) if document is not sample.document else PATHS[id(sample)])
        document = put(document, path, rng.choice((*VALUES, ...)))
    return encode(document, ascii_only=rng.random() < 0.7)


def _raw(rng: random.Random, sample: Sample) -> bytes:
    marked = encode(put(sample.document, rng.choice(PATHS[id(sample)]), "@@here@@"))
    return marked.replace(b'"@@here@@"', rng.choice(RAW))


def _twice(rng: random.Random, sample: Sample) -> bytes:
    body = encode(sample.document)
    commas = [place for place, byte in enumerate(body) if byte in b"{,"] or [0]
    place = rng.choice(commas) + 1
    name = rng.choice((b"id", b"order_id", b"type", b"currency", b"i\\u0064", b"total_price", b"data", b""))
    return body[:place] + b'"' + name + b'":' + rng.choice((b"1,", b'"x",', b"null,", b"{},")) + body[place:]


def _cut(rng: random.Random, sample: Sample) -> bytes:
    body = encode(sample.document)
    start, end = sorted(rng.choices(range(len(body) + 1), k=2))
    return rng.choice((body[:end], body[start:], body[:start] + body[end:], body + body, body + body[:start]))


def _flip(rng: random.Random, sample: Sample) -> bytes:
    body = bytearray(encode(sample.document, ascii_only=False))
    for _ in range(rng.choice((1, 1, 2, 8))):
        body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    return bytes(body)


def _whole(rng: random.Random, sample: Sample) -> bytes:
    return rng.choice(WHOLE)


def _wrap(rng: random.Random, sample: Sample) -> Typed:
    body, text = encode(sample.document), encode(sample.document).decode()
    depth = rng.choice((10, 900, 1_100, 30_000))
    return rng.choice(
        (
            gzip.compress(body, mtime=0), text.encode("utf-16"), text.encode("utf-32"), text.encode("utf-16-le"), b"\xef\xbb\xbf" + body,
            b"[" + body + b"]", json.dumps(text).encode(), b"payload=" + body, b"[" * depth + body + b"]" * depth, body.replace(b": ", b":\0"),
            encode(sample.document, ascii_only=False).decode("utf-8", "replace").encode("latin-1", "replace"), body.replace(b'"', b"'"),
        )
    ), {"Content-Encoding": "gzip"}  # fmt: skip


def _typed(rng: random.Random, sample: Sample) -> Typed:
    body = rng.choice((_swap, _flip, _whole, _cut))(rng, sample)
    return body, {"Content-Type": rng.choice(CONTENT_TYPES)}


def _topic(rng: random.Random, sample: Sample) -> Typed:
    """The right body under another topic, or with a header that no shop would send."""
    name = rng.choice((
        *sample.headers, "X-Ariane-Type", "X-Shopify-Topic", "X-WC-Webhook-Topic", "X-Shopify-Triggered-At", "X-Shopify-Event-Id", "X-Ariane-Delivery",
        "X-WC-Webhook-Delivery-Id",
    ))  # fmt: skip
    topics = (
        "", "\0", "\xff\xfe", "x" * 4_096, "orders/cancelled", "refunds/create", "order.deleted", "order.restored", "order.updated", "conversion", "refund",
    )  # fmt: skip
    return encode(sample.document), {name: rng.choice(topics)}


MUTATIONS: tuple[Mutation | Callable[[random.Random, Sample], Typed], ...] = (
    _swap,
    _swap,
    _swap,
    _raw,
    _raw,
    _twice,
    _cut,
    _flip,
    _wrap,
    _whole,
    _typed,
    _topic,
)


def _queried(rng: random.Random, sample: Sample) -> tuple[bytes, dict[str, str], str]:
    """A query that went wrong; no body, or one that contradicts it."""
    query = sample.query or ""
    parts = query.split("&")
    names = [part.partition("=")[0] for part in parts]
    names += ["status", "test", "currency", "parts", "refund_id", "updated_at", "event", "customer", "total"]
    values = (
        "", "%00", "a%00b", "%FF%FE", "%ED%A0%80", "%", "%ZZ", "{order_id}", "%%ID%%", "NaN", "1e999999", "-1", "1,234", "1.234,56", "9" * 400, "9" * 5_000,
        "null", "[]", "{}", "x" * 9_000, "\xe9", "+", "1" + "0" * 30, "0x1", "1|2", "A:1|A:2|:3", "|" * 200, "A:" * 150, "DEFAULT:1e99", "2026-99-99",
        "99999999999999", "0000000000", "true", "EUR", "&", "&amp;amount=1", "=", ";", "#", "approved", "rejected", "é".encode().decode("latin-1"),
    )  # fmt: skip
    for _ in range(rng.choice((1, 1, 2, 4))):
        part = f"{rng.choice(names)}={rng.choice(values)}"
        index = rng.randrange(len(parts) + 1)
        parts[index : index + rng.randrange(2)] = [part]
    body = rng.choice((
        b"", b"", b"", b"{}", b"[]", b"amount=1.00", b"\xff", b'{"amount":1e999999}', b'{"order_id":"\\ud800"}', b"[" * DEPTH,
    ))  # fmt: skip
    return body, {"Content-Type": rng.choice(CONTENT_TYPES)} if body else {}, "&".join(parts)


def malformed(number: int, at: datetime = NOW) -> tuple[Sample, Message]:
    """The case of this number: a message of one of the checkouts, damaged and then correctly signed at this time."""
    rng = random.Random(number)
    sample = SAMPLES[number % len(SAMPLES)]
    if sample.document is None or (sample.query is not None and rng.random() < 0.4):
        body, headers, query = _queried(rng, sample)
    else:
        damaged, query = rng.choice(MUTATIONS)(rng, sample), sample.query
        body, headers = (damaged, {}) if isinstance(damaged, bytes) else damaged
    sent = {"Content-Type": "application/json", **sample.headers, **headers}
    return sample, sample.checkout.sends(body, at, sent, query=query)
