"""The whole schema, in the order of the story.

Who and what (brand … cost) → how they are found before the brand is known (host, route, api_key, source) → what happened (click, delivery, witness, …)
→ what follows from it (conversion, decision, credit) → the machinery (redecide, …).

Three kinds of table, because a brand is the unit of distribution (docs/decisions/0003-one-database.md):
- brand tables: `brand_id` is in the primary key, in every unique key and in every foreign key, and in every statement;
- lookup tables (`LOOKUPS`): found without knowing the brand; copied whole to every node of a cluster, never joined with brand tables;
- local tables (`LOCALS`): queues of the background process; written in statements of their own.

Facts (click, visitor_click, delivery, witness, adjustment, status_change, code_assignment, policy) are only ever added. What is derived
(conversion's folded columns, decision, credit, click_day, visit) can be rebuilt from them.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import UserDefinedType

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMES)

DEFAULT_HOST = "*"
"""`route.host` of links on the shared host: every host name that is in no brand's `host` row."""


class Moment(TypeDecorator[datetime]):
    """`timestamptz` that refuses naive times: asyncpg would silently read them as UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("times must be aware")
        return value

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.astimezone(UTC)


class TransactionId(UserDefinedType[int]):
    """PostgreSQL's `xid8`: compared with the snapshot horizon to find what changed since, without missing late commits."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


def _id(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, Uuid, nullable=nullable)


def _moment(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, Moment, nullable=nullable)


def _words(name: str, *, nullable: bool = False, default: str | None = None) -> Column[Any]:
    return Column(name, Text, nullable=nullable, server_default=default)


def _count(name: str) -> Column[Any]:
    return Column(name, BigInteger, nullable=False, server_default="0")


def _json(name: str, default: str | None = None) -> Column[Any]:
    return Column(
        name, JSONB, nullable=default is None, server_default=None if default is None else text(f"'{default}'::jsonb")
    )


def _changed() -> Column[Any]:
    return Column("changed_xid", TransactionId, nullable=False, server_default=text("pg_current_xact_id()"))


def _key(*columns: str) -> PrimaryKeyConstraint:
    return PrimaryKeyConstraint(*columns)


def _belongs(column: str, parent: str, *, before: bool = False) -> ForeignKeyConstraint:
    """before: rows may be added before the one they belong to, in the same transaction."""
    later = "DEFERRED" if before else None
    return ForeignKeyConstraint(
        ["brand_id", column], [f"{parent}.brand_id", f"{parent}.id"], deferrable=before or None, initially=later
    )


def _of_brand() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["brand_id"], ["brand.id"])


# ── Who and what ─────────────────────────────────────────────────────────────────────────────────────────────────────

brand = Table(
    "brand",
    metadata,
    _id("id"),
    _words("name"),
    _words("currency"),
    _words("time_zone", default="UTC"),
    # The query parameter that carries the click id to the shop. A shop that reads `dub_id` already may keep it.
    _words("click_param", default="ariane"),
    _words("consent", default="wait"),
    # By how much two reports of one order may differ before it is flagged: the greater of both.
    Column("witness_tolerance_bp", Integer, nullable=False, server_default="100"),
    Column("witness_tolerance_minor", BigInteger, nullable=False, server_default="1"),
    _json("metadata", "{}"),
    _moment("created_at"),
    _moment("updated_at"),
    _moment("archived_at", nullable=True),
    _key("id"),
    CheckConstraint("consent IN ('granted', 'denied', 'wait')", name="consent"),
)

influencer = Table(
    "influencer",
    metadata,
    _id("brand_id"),
    _id("id"),
    _words("external_id", nullable=True),
    _words("name"),
    _words("email", nullable=True),
    _json("handles", "[]"),
    Column("tags", ARRAY(Text), nullable=False, server_default="{}"),
    _json("metadata", "{}"),
    _moment("created_at"),
    _moment("updated_at"),
    _moment("archived_at", nullable=True),
    _key("brand_id", "id"),
    UniqueConstraint("brand_id", "external_id"),
    _of_brand(),
)

campaign = Table(
    "campaign",
    metadata,
    _id("brand_id"),
    _id("id"),
    _words("external_id", nullable=True),
    _words("name"),
    _words("objective"),
    _words("type", nullable=True),
    _words("currency"),
    _moment("starts_at", nullable=True),
    _moment("ends_at", nullable=True),
    Column("budget_minor", BigInteger),
    _json("targets", "[]"),
    _json("metadata", "{}"),
    _moment("created_at"),
    _moment("updated_at"),
    _moment("archived_at", nullable=True),
    _key("brand_id", "id"),
    UniqueConstraint("brand_id", "external_id"),
    _of_brand(),
)

# Append-only: the version in force when an order occurred governs it. `scope_id` is a campaign, or the brand itself for its default.
policy = Table(
    "policy",
    metadata,
    _id("brand_id"),
    _id("scope_id"),
    Column("version", Integer, nullable=False),
    _moment("effective_from", nullable=True),
    _json("rules", "{}"),
    _moment("created_at"),
    _key("brand_id", "scope_id", "version"),
    _of_brand(),
)

collaboration = Table(
    "collaboration",
    metadata,
    _id("brand_id"),
    _id("id"),
    _words("external_id", nullable=True),
    _id("campaign_id"),
    _id("influencer_id"),
    _json("commission"),
    _json("metadata", "{}"),
    _moment("created_at"),
    _moment("updated_at"),
    _moment("archived_at", nullable=True),
    _key("brand_id", "id"),
    UniqueConstraint("brand_id", "external_id"),
    UniqueConstraint("brand_id", "campaign_id", "influencer_id"),
    _belongs("campaign_id", "campaign"),
    _belongs("influencer_id", "influencer"),
    Index(None, "brand_id", "influencer_id"),
)

link = Table(
    "link",
    metadata,
    _id("brand_id"),
    _id("id"),
    _words("external_id", nullable=True),
    _id("collaboration_id"),
    _words("host"),
    _words("slug"),
    _words("destination_url"),
    _words("placement", nullable=True),
    _json("utm", "{}"),
    _moment("expires_at", nullable=True),
    _moment("disabled_at", nullable=True),
    _json("metadata", "{}"),
    _moment("created_at"),
    _moment("updated_at"),
    _moment("archived_at", nullable=True),
    _key("brand_id", "id"),
    UniqueConstraint("brand_id", "external_id"),
    UniqueConstraint("brand_id", "host", "slug"),
    _belongs("collaboration_id", "collaboration"),
    Index(None, "brand_id", "collaboration_id"),
)

code = Table(
    "code",
    metadata,
    _id("brand_id"),
    _id("id"),
    _words("external_id", nullable=True),
    _words("code"),
    # Folded in Python (case, spaces, look-alikes), never by the database's locale; two codes a shopper could confuse collide here.
    _words("code_norm"),
    _json("discount"),
    _moment("starts_at", nullable=True),
    _moment("ends_at", nullable=True),
    Column("max_redemptions", Integer),
    _words("credit_policy", default="always"),
    _moment("disabled_at", nullable=True),
    _json("metadata", "{}"),
    _moment("created_at"),
    _moment("updated_at"),
    _moment("archived_at", nullable=True),
    _key("brand_id", "id"),
    UniqueConstraint("brand_id", "external_id"),
    UniqueConstraint("brand_id", "code_norm"),
    _of_brand(),
)

# What a shop system calls a code where it does not say how it is typed: Stripe's `promo_…`. Compared exactly, capitals and all.
code_alias = Table(
    "code_alias",
    metadata,
    _id("brand_id"),
    _words("alias"),
    _id("code_id"),
    _moment("created_at"),
    _key("brand_id", "alias"),
    _belongs("code_id", "code"),
    Index(None, "brand_id", "code_id"),
)

# Append-only. The assignment that started last before an order's time owns the code at that time; nobody does once it has ended.
code_assignment = Table(
    "code_assignment",
    metadata,
    _id("brand_id"),
    _id("id"),
    _id("code_id"),
    _id("collaboration_id"),
    _moment("starts_at", nullable=True),
    _moment("ends_at", nullable=True),
    _moment("created_at"),
    _key("brand_id", "id"),
    _belongs("code_id", "code"),
    _belongs("collaboration_id", "collaboration"),
    Index(None, "brand_id", "code_id"),
    Index(None, "brand_id", "collaboration_id"),
)

cost = Table(
    "cost",
    metadata,
    _id("brand_id"),
    _id("id"),
    _words("external_id", nullable=True),
    _id("campaign_id"),
    # Null: a cost of the whole campaign (an agency, an event), which no breakdown below the campaign can split.
    _id("collaboration_id", nullable=True),
    _words("kind"),
    Column("amount_minor", BigInteger, nullable=False),
    _words("currency"),
    Column("incurred_on", Date, nullable=False),
    _words("note", nullable=True),
    _json("metadata", "{}"),
    _moment("created_at"),
    _moment("updated_at"),
    _moment("archived_at", nullable=True),
    _key("brand_id", "id"),
    UniqueConstraint("brand_id", "external_id"),
    _belongs("campaign_id", "campaign"),
    _belongs("collaboration_id", "collaboration"),
    Index(None, "brand_id", "campaign_id"),
    Index(None, "brand_id", "collaboration_id"),
    Index(None, "brand_id", "incurred_on"),
)

# ── Found before the brand is known ──────────────────────────────────────────────────────────────────────────────────

host = Table(
    "host",
    metadata,
    _words("host"),
    _id("brand_id"),
    _moment("created_at"),
    _moment("archived_at", nullable=True),
    _changed(),
    _key("host"),
    Index(None, "brand_id"),
    Index(None, "changed_xid"),
)

# Everything one redirect needs. Never recycled: an archived link keeps its row, so that its slug is never given out again.
route = Table(
    "route",
    metadata,
    _words("host"),
    _words("slug"),
    _id("brand_id"),
    _id("link_id"),
    # With UTM applied; the click parameter's name stands beside it.
    _words("destination_url"),
    _words("click_param"),
    _moment("expires_at", nullable=True),
    Column("disabled", Boolean, nullable=False, server_default=text("false")),
    _changed(),
    _key("host", "slug"),
    Index(None, "brand_id", "link_id"),
    Index(None, "changed_xid"),
)

api_key = Table(
    "api_key",
    metadata,
    # SHA-256 of the whole key: a key is 256 random bits, so there is nothing to stretch.
    Column("key_hash", LargeBinary, nullable=False),
    _id("id"),
    _id("brand_id"),
    _words("kind"),
    Column("scopes", ARRAY(Text), nullable=False, server_default="{}"),
    _words("shop", nullable=True),
    _words("name", default=""),
    # The whole key when it is publishable (it stands in every page of the shop anyway), else its last four characters.
    _words("hint"),
    _moment("created_at"),
    _moment("revoked_at", nullable=True),
    _changed(),
    _key("key_hash"),
    UniqueConstraint("id"),
    Index(None, "brand_id"),
    Index(None, "changed_xid"),
    CheckConstraint("kind IN ('secret', 'publishable')", name="kind"),
)

source = Table(
    "source",
    metadata,
    _words("token"),
    _id("id"),
    _id("brand_id"),
    _words("platform"),
    _words("name", default=""),
    _words("shop", default="main"),
    # Each one encrypted (app/secret.py); a list, because secrets are rotated with both in force for a while.
    Column("secrets", ARRAY(Text), nullable=False, server_default="{}"),
    _json("settings", "{}"),
    _moment("created_at"),
    _moment("updated_at"),
    _moment("archived_at", nullable=True),
    # When it was archived earlier: from, until, from, until … What a pixel told meanwhile was in no doubt, and stays so.
    Column("pauses", ARRAY(DateTime(timezone=True)), nullable=False, server_default="{}"),
    _changed(),
    _key("token"),
    UniqueConstraint("id"),
    Index(None, "brand_id"),
    Index(None, "changed_xid"),
)

# ── What happened ────────────────────────────────────────────────────────────────────────────────────────────────────

CLICK_CLASSES = ("human", "bot", "preview", "prefetch", "head", "test")
"""`click.class` is an index into this tuple. `test`: of the trial of a source, in no count."""

# Partitioned by month of its UUIDv7 id. There is no DEFAULT partition: with one, attaching a month would scan it under a lock.
click = Table(
    "click",
    metadata,
    _id("brand_id"),
    _id("id"),
    _id("link_id"),
    _moment("occurred_at"),
    Column("class", SmallInteger, nullable=False),
    # A keyed hash of truncated address and browser; null when the visitor asked not to be followed (Sec-GPC).
    Column("visitor", BigInteger),
    _words("country", nullable=True),
    _words("device", nullable=True),
    _words("os", nullable=True),
    _words("browser", nullable=True),
    _words("in_app", nullable=True),
    _words("referrer_host", nullable=True),
    _key("brand_id", "id"),
    postgresql_partition_by="RANGE (id)",
)

# Clicks per link and day in the brand's own zone: what reports add up. Kept by the drain, rebuilt from `click`.
click_day = Table(
    "click_day",
    metadata,
    _id("brand_id"),
    Column("day", Date, nullable=False),
    _id("link_id"),
    _count("clicks"),
    _count("bots"),
    _count("previews"),
    _count("prefetches"),
    _count("heads"),
    _count("unique_clicks"),
    _key("brand_id", "day", "link_id"),
    # Rows are updated all day long: room for updates within the page.
    postgresql_with={"fillfactor": "70"},
)

# The first human click of a visitor on a link and UTC day. Followed asynchronously from unique_pending.
visit = Table(
    "visit",
    metadata,
    _id("brand_id"),
    Column("day", Date, nullable=False),
    _id("link_id"),
    Column("visitor", BigInteger, nullable=False),
    _id("first_click_id"),
    _key("brand_id", "day", "link_id", "visitor"),
)

# Requests that led nowhere: an unknown slug of a brand's own host, an expired or disabled link.
# Hits on the shared host that belong to nobody stand under the nil brand. `slug` is '(other)' past a limit per host and day.
missed_day = Table(
    "missed_day",
    metadata,
    _id("brand_id"),
    Column("day", Date, nullable=False),
    _words("host"),
    _words("slug"),
    _words("reason"),
    _count("hits"),
    _key("brand_id", "day", "host", "slug", "reason"),
    CheckConstraint("reason IN ('unknown_slug', 'expired', 'disabled')", name="reason"),
)

# The shop's own first-party visitor id met this click id (the landing beacon of /a.js).
visitor_click = Table(
    "visitor_click",
    metadata,
    _id("brand_id"),
    _words("visitor_id"),
    _id("click_id"),
    _moment("seen_at"),
    _key("brand_id", "visitor_id", "click_id"),
    Index(None, "brand_id", "click_id"),
)

DELIVERY_STATUSES = ("received", "recorded", "ignored", "rejected", "unsigned")

# One raw message of a public door, kept as received.
delivery = Table(
    "delivery",
    metadata,
    _id("brand_id"),
    # The replay key: the id of the line in the spool.
    _id("id"),
    # The source, or the publishable key for pixel and beacon; null when neither was known.
    _id("origin_id", nullable=True),
    _words("platform"),
    _words("shop", default="main"),
    _words("topic", default=""),
    # The sender's own id of the delivery ('' when it has none), with the body's hash: WooCommerce may share an id within a second.
    _words("external_id", default=""),
    Column("body_hash", LargeBinary, nullable=False),
    _json("headers", "{}"),
    Column("body", LargeBinary, nullable=False),
    _words("status"),
    _words("reason", nullable=True),
    _words("detail", nullable=True),
    _id("conversion_id", nullable=True),
    _moment("received_at"),
    _moment("recorded_at", nullable=True),
    Column("attempts", Integer, nullable=False, server_default="0"),
    _key("brand_id", "id"),
    UniqueConstraint("brand_id", "origin_id", "external_id", "body_hash", name="uq_delivery_once"),
    # How a source is doing: its newest delivery of each status.
    Index("ix_delivery_source", "brand_id", "origin_id", "status", "id"),
    # One for each thing that people look for, with the id that the list is sorted by. Not one for every pair: the rarer of two decides.
    Index(None, "brand_id", "status", "id"),
    Index(None, "brand_id", "reason", "id", postgresql_where=text("reason IS NOT NULL")),
    Index(None, "brand_id", "origin_id", "id"),
    Index(None, "brand_id", "platform", "id"),
    Index(None, "brand_id", "topic", "id"),
    Index(None, "brand_id", "shop", "id"),
    Index(None, "brand_id", "external_id", "id", postgresql_where=text("external_id <> ''")),
    Index(None, "brand_id", "conversion_id"),
)

# An order, lead, signup, install … One row per id a report arrived under; `root_id` names the row that stands for the order after a merge.
# The columns after root_id are folded from the witnesses and adjustments of all rows with this root; only roots carry them.
conversion = Table(
    "conversion",
    metadata,
    _id("brand_id"),
    _id("id"),
    _id("root_id"),
    _words("shop"),
    _words("kind"),
    _words("order_id", nullable=True),
    _moment("occurred_at", nullable=True),
    _words("status", default="stub"),
    _words("status_reason", nullable=True),
    # Since when only refunds change its money; and when an approved order will be locked.
    _moment("locked_at", nullable=True),
    _moment("locks_at", nullable=True),
    _words("currency", nullable=True),
    Column("items_minor", BigInteger),
    Column("discount_minor", BigInteger),
    Column("tax_minor", BigInteger),
    Column("shipping_minor", BigInteger),
    Column("net_minor", BigInteger),
    _count("refunded_minor"),
    Column("codes", ARRAY(Text), nullable=False, server_default="{}"),
    _words("visitor_id", nullable=True),
    _words("customer_key", nullable=True),
    Column("customer_is_new", Boolean),
    _words("origin", default="unknown"),
    Column("test", Boolean, nullable=False, server_default=text("false")),
    # unsigned, net_estimated, over_cap, amount_disagreement, changed_after_lock, refund_over_order … (docs/orders.md)
    Column("flags", ARRAY(Text), nullable=False, server_default="{}"),
    # Hash of everything folded and decided: equal digest, nothing to write.
    Column("digest", LargeBinary),
    _moment("created_at"),
    _moment("updated_at"),
    _key("brand_id", "id"),
    _of_brand(),
    Index(None, "brand_id", "root_id"),
    Index("ix_conversion_occurred", "brand_id", "occurred_at", "id"),
    Index("ix_conversion_locks", "brand_id", "locks_at", postgresql_where=text("locks_at IS NOT NULL")),
    CheckConstraint(
        "status IN ('stub', 'pending', 'approved', 'locked', 'paid', 'rejected', 'unverified', 'merged')", name="status"
    ),
)

# Every name an order goes by: its id, its number, its checkout token. Whoever inserts first owns it.
order_ref = Table(
    "order_ref",
    metadata,
    _id("brand_id"),
    _words("shop"),
    _words("kind"),
    _words("ref"),
    _id("conversion_id"),
    _key("brand_id", "shop", "kind", "ref"),
)

# What an order names that may arrive or change later: 'click:<uuid>', 'visitor:<id>', 'code:<folded>' or
# 'alias:<id of a code>'. The drain, the landing beacon and
# a change of a code look here.
order_touch = Table(
    "order_touch",
    metadata,
    _id("brand_id"),
    _words("touch"),
    _id("conversion_id"),
    _key("brand_id", "touch", "conversion_id"),
)

# One report of an order. Only added; `received_at` may sink to an earlier receipt of the same words.
witness = Table(
    "witness",
    metadata,
    _id("brand_id"),
    _id("conversion_id"),
    # SHA-256 over door, origin and the report's words: the same words twice are one witness.
    Column("content_hash", LargeBinary, nullable=False),
    _id("id"),
    # Higher is believed: 30 signed webhook, 20 server call with a secret key, 10 pixel or beacon.
    Column("trust", SmallInteger, nullable=False),
    _words("door"),
    _words("platform"),
    _id("origin_id", nullable=True),
    _id("delivery_id", nullable=True),
    # The source's own version of the order (updated_at in microseconds); 0 when it has none.
    Column("version", BigInteger, nullable=False, server_default="0"),
    _moment("received_at"),
    Column("report", JSONB, nullable=False),
    _key("brand_id", "conversion_id", "content_hash"),
    # Facts come first: what is written of a new order, once, follows from them.
    _belongs("conversion_id", "conversion", before=True),
)

# One report of a refund, cancellation, chargeback or the reversal of one, stored as a witness is.
adjustment = Table(
    "adjustment",
    metadata,
    _id("brand_id"),
    _id("conversion_id"),
    _words("kind"),
    _words("refund_id"),
    Column("content_hash", LargeBinary, nullable=False),
    _id("id"),
    Column("trust", SmallInteger, nullable=False),
    _words("door"),
    _words("platform"),
    _id("origin_id", nullable=True),
    _id("delivery_id", nullable=True),
    Column("version", BigInteger, nullable=False, server_default="0"),
    _moment("received_at"),
    # Null in rows that the previous release writes while it runs beside this one; they are read from the columns below (orders/facts.py).
    Column("report", JSONB),
    # What the previous release knows of a report; to be dropped by a later migration.
    Column("amount_minor", BigInteger),
    _words("currency", nullable=True),
    _moment("occurred_at", nullable=True),
    _json("lines", "[]"),
    Column("of_total", Boolean, nullable=False, server_default=text("false")),
    Column("cumulative", Boolean, nullable=False, server_default=text("false")),
    _words("part_of", nullable=True),
    Column("by_lines", Boolean, nullable=False, server_default=text("false")),
    _words("reverses", nullable=True),
    _key("brand_id", "conversion_id", "kind", "refund_id", "content_hash"),
    _belongs("conversion_id", "conversion", before=True),
    CheckConstraint("kind IN ('refund', 'cancellation', 'chargeback', 'reversal')", name="kind"),
)

# What somebody decided of an order, or that its hold had passed (no key). Only added; the order's status is folded from them and its witnesses.
status_change = Table(
    "status_change",
    metadata,
    _id("brand_id"),
    _id("conversion_id"),
    _id("id"),
    _words("status"),
    # The status it found, for the record.
    _words("was"),
    _words("reason", nullable=True),
    _words("note", nullable=True),
    _id("key_id", nullable=True),
    _moment("changed_at"),
    _key("brand_id", "conversion_id", "id"),
    _belongs("conversion_id", "conversion"),
    CheckConstraint("status IN ('pending', 'approved', 'rejected', 'locked', 'paid')", name="status"),
)

# ── What follows from it ─────────────────────────────────────────────────────────────────────────────────────────────

# Who gets the order and why: one row per surviving order, replaced when a later fact changes it.
decision = Table(
    "decision",
    metadata,
    _id("brand_id"),
    _id("conversion_id"),
    _words("verdict"),
    _words("method", nullable=True),
    _words("model"),
    Column("policy_version", Integer, nullable=False),
    _words("reason"),
    _json("credits", "[]"),
    _json("candidates", "[]"),
    _moment("decided_at"),
    _key("brand_id", "conversion_id"),
    _belongs("conversion_id", "conversion"),
    CheckConstraint("verdict IN ('attributed', 'unattributed', 'pending_click')", name="verdict"),
)

# The money that reports add up: one row per share and event. `position` 0 is the order, 1… its refunds in the order they took effect.
# An order that nobody gets has rows with collaboration_id null, so that attributed and unattributed add up to all orders.
credit = Table(
    "credit",
    metadata,
    _id("brand_id"),
    _id("conversion_id"),
    Column("position", Integer, nullable=False),
    Column("share", SmallInteger, nullable=False),
    _id("collaboration_id", nullable=True),
    _id("campaign_id", nullable=True),
    _id("influencer_id", nullable=True),
    _id("link_id", nullable=True),
    _id("code_id", nullable=True),
    _words("method", nullable=True),
    Column("weight_bp", Integer, nullable=False),
    # Positive for the order, negative for a refund (positive again for its reversal).
    Column("amount_minor", BigInteger, nullable=False),
    _words("currency"),
    _words("kind"),
    # Of the order (position 0) or of the refund.
    _moment("occurred_at"),
    # False for test, unverified and rejected orders: kept, never counted.
    Column("counted", Boolean, nullable=False),
    _key("brand_id", "conversion_id", "position", "share"),
    _belongs("conversion_id", "conversion"),
    Index("ix_credit_occurred", "brand_id", "occurred_at"),
    Index("ix_credit_collaboration", "brand_id", "collaboration_id", "occurred_at"),
)

# ── The machinery ────────────────────────────────────────────────────────────────────────────────────────────────────

# What an Idempotency-Key was answered with. Secrets are left out of the stored body.
idempotency = Table(
    "idempotency",
    metadata,
    _id("brand_id"),
    _id("key_id"),
    _words("key"),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("status", SmallInteger, nullable=False),
    _json("body"),
    _moment("created_at"),
    _key("brand_id", "key_id", "key"),
    Index(None, "brand_id", "created_at"),
)

# Orders to decide again. `after` null: just appended; else the transaction that must have ended, with all that ran beside it, before it is taken.
redecide = Table(
    "redecide",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    _id("brand_id"),
    _id("conversion_id"),
    Column("after", TransactionId),
    # Earliest moment it is looked at (the end of the wait for a click); null: as soon as possible.
    _moment("not_before", nullable=True),
    _key("id"),
    Index("ix_redecide_new", "id", postgresql_where=text("after IS NULL")),
)

# Human clicks of one drained chunk whose visitors have not been counted yet: arrays of equal length, not compressed (migration 0010).
unique_pending = Table(
    "unique_pending",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    _id("brand_id"),
    Column("click_ids", ARRAY(Uuid), nullable=False),
    Column("link_ids", ARRAY(Uuid), nullable=False),
    Column("visitors", ARRAY(BigInteger), nullable=False),
    _key("id"),
)

# Work that takes longer than a request: an import, a reconciliation, a replay. Whoever runs it holds `claim` and renews `alive_at`; a job whose
# runner fell silent is taken up again, from `checkpoint`.
job = Table(
    "job",
    metadata,
    _id("brand_id"),
    _id("id"),
    _words("kind"),
    _words("state", default="queued"),
    _json("arguments", "{}"),
    _count("done"),
    Column("total", BigInteger),
    _words("unit", default="rows"),
    _json("checkpoint"),
    _json("result"),
    _words("error", nullable=True),
    _id("claim", nullable=True),
    _moment("alive_at", nullable=True),
    # Beginnings that did not come to an orderly end: a job that kills its runner is not taken up for ever.
    Column("attempts", Integer, nullable=False, server_default="0"),
    _moment("cancelled_at", nullable=True),
    _moment("created_at"),
    _moment("started_at", nullable=True),
    _moment("finished_at", nullable=True),
    _key("brand_id", "id"),
    Index("ix_job_open", "id", postgresql_where=text("state IN ('queued', 'running')")),
    Index(None, "finished_at"),
    CheckConstraint("state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="state"),
)

# What a job says of single lines: those of an import that were refused, every order of a reconciliation.
job_line = Table(
    "job_line",
    metadata,
    _id("brand_id"),
    _id("job_id"),
    Column("number", BigInteger, nullable=False),
    _words("status"),
    _words("reason", nullable=True),
    _words("detail", nullable=True),
    _json("details", "{}"),
    _key("brand_id", "job_id", "number"),
    Index(None, "brand_id", "job_id", "status", "number"),
)

# A file that was uploaded for a job, in pieces of some 100 KB; gone when the job has ended. Pieces without a job are of an upload that broke off.
job_piece = Table(
    "job_piece",
    metadata,
    _id("brand_id"),
    _id("job_id"),
    Column("number", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    _key("brand_id", "job_id", "number"),
    Index(None, "job_id"),
)

# How far each host has brought its spool in: reports are complete until the least of these.
drain_state = Table(
    "drain_state",
    metadata,
    _words("host"),
    _moment("drained_until"),
    _moment("updated_at"),
    _key("host"),
)

LOOKUPS = frozenset({host, route, api_key, source})
LOCALS = frozenset({redecide, unique_pending, drain_state, job, job_line, job_piece})
