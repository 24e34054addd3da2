"""Whose data an export or an erasure is about, and how it is found: orders by customer, name or click; messages by what they say.

Customers are known by their key alone. A message that names none of our orders is read by the parser of its platform, and e-mails in its text are
hashed and compared, also where it could not be read: so nobody's e-mail has to be kept in order to be searched for.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote_plus
from uuid import UUID

import asyncpg
import msgspec

from app.database.transactions import Connection
from app.domain import ids
from app.domain.customers import PURPOSE, customer_key
from app.domain.naming import PRIMARY
from app.domain.orders import Parsed, read_click
from app.intake.deliveries.messages import Message
from app.intake.deliveries.recording import load_origins
from app.intake.deliveries.replaying import stored_message
from app.jobs.run import JobFailed, Run
from app.platforms.registry import SHOP_SYSTEMS
from app.secret import derive

ORDERS_MAX = 10_000
"""Orders of one person. More are a dealer, or a customer's id that stands for everybody: to be asked for order by order."""
VISITORS_MAX = 10_000
"""Visitors met with one click or named by one person's orders."""
MESSAGES_ROWS = 200
MESSAGES_BYTES = 8 << 20
"""Messages read at once, and the bytes of their bodies."""
EMAILS = (re.compile(r"[\w.+-]+@[\w.-]+\w"), re.compile(r"[\w.!#$%*+=^{|}~'-]+@[\w.-]+\w"))
"""E-mails in a text: as nearly all are, and with the signs that few have and that elsewhere stand before one."""

FOUND = """
SELECT DISTINCT c.root_id FROM (
    SELECT conversion_id FROM witness
    WHERE brand_id = $1 AND cardinality($2::text[]) > 0 AND report -> 'customer' ->> 'key' = ANY($2::text[])
    UNION ALL SELECT id FROM conversion WHERE brand_id = $1 AND id = ANY($3::uuid[])
    UNION ALL SELECT conversion_id FROM order_ref WHERE brand_id = $1 AND shop = $4 AND ref = ANY($5::text[])
    UNION ALL SELECT conversion_id FROM order_touch WHERE brand_id = $1 AND touch = ANY($6::text[])
) AS named JOIN conversion c ON c.brand_id = $1 AND c.id = named.conversion_id
WHERE c.brand_id = $1 ORDER BY c.root_id LIMIT $7
"""
OF_SHOP = (
    "SELECT id FROM conversion WHERE brand_id = $1 AND shop = $2 AND root_id = id AND id > $3 ORDER BY id LIMIT $4"
)
VISITORS_OF_CLICK = "SELECT visitor_id FROM visitor_click WHERE brand_id = $1 AND click_id = ANY($2::uuid[]) ORDER BY visitor_id LIMIT $3"
VISITORS_OF_ORDERS = """
SELECT DISTINCT w.report ->> 'visitor_id' AS visitor_id FROM conversion c JOIN witness w ON w.brand_id = $1 AND w.conversion_id = c.id
WHERE c.brand_id = $1 AND c.root_id = ANY($2::uuid[]) AND w.report ? 'visitor_id' ORDER BY 1 LIMIT $3
"""
MESSAGES = """
SELECT id, octet_length(body) AS bytes FROM delivery
WHERE brand_id = $1 AND id > $2 AND id < $3 AND erased_at IS NULL AND ($4::text IS NULL OR shop = $4) ORDER BY id LIMIT $5
"""
READ = """
SELECT id, origin_id, platform, shop, topic, headers::text AS headers, body, status, reason, received_at, verified_at, conversion_id FROM delivery
WHERE brand_id = $1 AND id = ANY($2::uuid[]) AND erased_at IS NULL ORDER BY id
"""


class Subject(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whose data it is: all that any of these leads to. order_ids: as the shop system names them, in `shop`. whole_shop: everybody who bought there."""

    customer_keys: tuple[str, ...] = ()
    conversion_id: str | None = None
    click_id: str | None = None
    shop: str = "main"
    order_ids: tuple[str, ...] = ()
    whole_shop: bool = False

    @property
    def clicks(self) -> list[UUID]:
        """The click that was asked for, in a list, or none."""
        found = None if self.click_id is None else read_click(self.click_id)
        return [] if found is None else [found]


def subject_of(arguments: Mapping[str, Any]) -> Subject:
    """The subject in a job's arguments."""
    return msgspec.convert(arguments, Subject)


async def find_visitors(connection: Connection, brand_id: UUID, subject: Subject) -> list[str]:
    """The visitors that met the click that was asked for."""
    if not subject.clicks:
        return []
    rows = await connection.fetch(VISITORS_OF_CLICK, brand_id, subject.clicks, VISITORS_MAX)
    return [row["visitor_id"] for row in rows]


async def find_orders(connection: Connection, brand_id: UUID, subject: Subject, visitors: Sequence[str]) -> list[UUID]:
    """The orders of a person, by their surviving ids. Raises JobFailed over `ORDERS_MAX`."""
    conversions = [] if subject.conversion_id is None else [ids.read("conversion", subject.conversion_id)]
    primary = [f"{PRIMARY}{system}:{each}" for each in subject.order_ids for system in SHOP_SYSTEMS]
    names = [*subject.order_ids, *primary]
    touches = [f"click:{each}" for each in subject.clicks] + [f"visitor:{each}" for each in visitors]
    rows = await connection.fetch(
        FOUND, brand_id, subject.customer_keys, conversions, subject.shop, names, touches, ORDERS_MAX + 1
    )
    if len(rows) > ORDERS_MAX:
        raise JobFailed(f"these are more than {ORDERS_MAX} orders; ask for single orders instead")
    return [row["root_id"] for row in rows]


async def visitors_of_orders(connection: Connection, brand_id: UUID, root_ids: Collection[UUID]) -> list[str]:
    """The visitors that these orders name, `VISITORS_MAX` at most."""
    rows = await connection.fetch(VISITORS_OF_ORDERS, brand_id, list(root_ids), VISITORS_MAX)
    return [row["visitor_id"] for row in rows]


# ── Messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Match(msgspec.Struct, frozen=True):
    """A stored message about the person. row: of `delivery`. visitors: whom it says to have landed or bought. is_order: it reports one order, of the
    customer that was asked for.
    """

    row: asyncpg.Record
    visitors: tuple[str, ...]
    is_order: bool


class MessageBatch(msgspec.Struct, frozen=True):
    """Messages that were looked through. last: the id of the last one."""

    last: UUID
    matches: list[Match]


async def next_messages(
    run: Run, connection: Connection, subject: Subject, visitors: Collection[str], roots: Collection[UUID], after: UUID
) -> MessageBatch | None:
    """The next messages received before the job was made; None when there are none left. Those of a whole shop are all matches, and so are those of
    the orders `roots`, and of the visitors.
    """
    shop = subject.shop if subject.whole_shop else None
    until = ids.floor_at(run.created_at)
    chosen: list[UUID] = []
    size_bytes = 0
    for row in await connection.fetch(MESSAGES, run.brand_id, after, until, shop, MESSAGES_ROWS):
        size_bytes += row["bytes"]
        if chosen and size_bytes > MESSAGES_BYTES:
            break
        chosen.append(row["id"])
    if not chosen:
        return None
    rows = await connection.fetch(READ, run.brand_id, chosen)
    messages = [stored_message(row) for row in rows]
    origins = await load_origins(connection, run.brand_id, messages, run.secret)
    key_of = partial(customer_key, derive(run.secret, PURPOSE), run.brand_id)
    known = set(visitors)
    matches = []
    for row, message in zip(rows, messages, strict=True):
        parsed = origins.read(run.brand_id, message)
        keys, met, clicks = _named(parsed)
        is_customers = not keys.isdisjoint(subject.customer_keys) or (
            bool(subject.customer_keys) and _names_one(message, subject.customer_keys, key_of)
        )
        if (
            is_customers
            or subject.whole_shop
            or not met.isdisjoint(known)
            or not clicks.isdisjoint(subject.clicks)
            or row["conversion_id"] in roots
        ):
            matches.append(
                Match(
                    row, tuple(sorted(met)), is_customers and len({report.refs for report in parsed.all_reports}) == 1
                )
            )
    return MessageBatch(chosen[-1], matches)


def _named(parsed: Parsed) -> tuple[set[str], set[str], set[UUID | None]]:
    """Customers and visitors that a message names, and the clicks that it says they landed with."""
    keys = {report.customer.key for report in parsed.all_reports if report.customer.key is not None}
    visitors = {report.visitor_id for report in parsed.all_reports if report.visitor_id is not None}
    visitors |= {landing.visitor_id for landing in parsed.landings}
    return keys, visitors, {read_click(landing.click_id) for landing in parsed.landings}


def _names_one(message: Message, keys: Collection[str], key_of: Any) -> bool:
    """Whether the text of a message holds one of these customers' keys, or an e-mail that hashes to one."""
    text = message.body.decode("utf-8", "replace") + " " + " ".join(message.headers.values())
    if "%40" in text:
        text += " " + unquote_plus(text)
    return any(key in text for key in keys) or any(
        key_of(None, each) in keys for each in {found for email in EMAILS for found in email.findall(text)}
    )
