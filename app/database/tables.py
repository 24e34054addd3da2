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


class Timestamp(TypeDecorator[datetime]):
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


def _uuid(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, Uuid, nullable=nullable)


def _timestamp(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, Timestamp, nullable=nullable)


def _text(name: str, *, nullable: bool = False, default: str | None = None) -> Column[Any]:
    return Column(name, Text, nullable=nullable, server_default=default)


def _counter(name: str) -> Column[Any]:
    return Column(name, BigInteger, nullable=False, server_default="0")


def _json(name: str, default: str | None = None) -> Column[Any]:
    return Column(
        name, JSONB, nullable=default is None, server_default=None if default is None else text(f"'{default}'::jsonb")
    )


def _changed_xid() -> Column[Any]:
    return Column("changed_xid", TransactionId, nullable=False, server_default=text("pg_current_xact_id()"))


def _primary_key(*columns: str) -> PrimaryKeyConstraint:
    return PrimaryKeyConstraint(*columns)


def _brand_table(name: str, *parts: Any, **options: Any) -> Table:
    """A table whose rows belong to a brand."""
    return Table(name, metadata, _uuid("brand_id"), *parts, **options)


def _entity(name: str, *parts: Any) -> Table:
    """A brand table of things that a brand names itself, annotates and archives."""
    return _brand_table(
        name,
        _uuid("id"),
        _text("external_id", nullable=True),
        *parts,
        _json("metadata", "{}"),
        _timestamp("created_at"),
        _timestamp("updated_at"),
        _timestamp("archived_at", nullable=True),
        _primary_key("brand_id", "id"),
        UniqueConstraint("brand_id", "external_id"),
    )


def _foreign_key(column: str, parent: str, *, before: bool = False) -> ForeignKeyConstraint:
    """Belongs to a row of the same brand. before: may be added before that row, in the same transaction."""
    later = "DEFERRED" if before else None
    return ForeignKeyConstraint(
        ["brand_id", column], [f"{parent}.brand_id", f"{parent}.id"], deferrable=before or None, initially=later
    )


def _receipt() -> tuple[Column[Any], ...]:
    """The columns of a fact that say where a report came from, when, and how much weight that gives it."""
    return (
        # SHA-256 over door, origin and the stored report: an equal report from one place is one fact.
        Column("content_hash", LargeBinary, nullable=False),
        _uuid("id"),
        # The higher one is believed: 30 signed webhook, 20 server call with a secret key, 10 pixel or beacon.
        Column("trust", SmallInteger, nullable=False),
        _text("door"),
        _text("platform"),
        _uuid("origin_id", nullable=True),
        _uuid("delivery_id", nullable=True),
        # The source's own version of the order (updated_at in microseconds); 0 when it has none.
        Column("version", BigInteger, nullable=False, server_default="0"),
        _timestamp("received_at"),
    )


def _brand_key() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["brand_id"], ["brand.id"])


# ── Who and what ─────────────────────────────────────────────────────────────────────────────────────────────────────

brand = Table(
    "brand",
    metadata,
    _uuid("id"),
    _text("name"),
    _text("currency"),
    _text("time_zone", default="UTC"),
    # The query parameter that carries the click id to the shop. A shop that reads `dub_id` already may keep it.
    _text("click_param", default="ariane"),
    _text("consent", default="wait"),
    # How far the amounts of two reports of one order may differ without a flag: the greater of the two.
    Column("witness_tolerance_bp", Integer, nullable=False, server_default="100"),
    Column("witness_tolerance_minor", BigInteger, nullable=False, server_default="1"),
    _json("metadata", "{}"),
    _timestamp("created_at"),
    _timestamp("updated_at"),
    _timestamp("archived_at", nullable=True),
    _primary_key("id"),
    CheckConstraint("consent IN ('granted', 'denied', 'wait')", name="consent"),
)

influencer = _entity(
    "influencer",
    _text("name"),
    _text("email", nullable=True),
    _json("handles", "[]"),
    Column("tags", ARRAY(Text), nullable=False, server_default="{}"),
    _brand_key(),
)

campaign = _entity(
    "campaign",
    _text("name"),
    _text("objective"),
    _text("type", nullable=True),
    _text("currency"),
    _timestamp("starts_at", nullable=True),
    _timestamp("ends_at", nullable=True),
    Column("budget_minor", BigInteger),
    _json("targets", "[]"),
    _brand_key(),
)

# Append-only: the version in force when an order occurred governs it. `scope_id` is a campaign, or the brand itself for its default.
policy = _brand_table(
    "policy",
    _uuid("scope_id"),
    Column("version", Integer, nullable=False),
    _timestamp("effective_from", nullable=True),
    _json("rules", "{}"),
    _timestamp("created_at"),
    _primary_key("brand_id", "scope_id", "version"),
    _brand_key(),
)

collaboration = _entity(
    "collaboration",
    _uuid("campaign_id"),
    _uuid("influencer_id"),
    _json("commission"),
    UniqueConstraint("brand_id", "campaign_id", "influencer_id"),
    _foreign_key("campaign_id", "campaign"),
    _foreign_key("influencer_id", "influencer"),
    Index(None, "brand_id", "influencer_id"),
)

link = _entity(
    "link",
    _uuid("collaboration_id"),
    _text("host"),
    _text("slug"),
    _text("destination_url"),
    _text("placement", nullable=True),
    _json("utm", "{}"),
    _timestamp("expires_at", nullable=True),
    _timestamp("disabled_at", nullable=True),
    UniqueConstraint("brand_id", "host", "slug"),
    _foreign_key("collaboration_id", "collaboration"),
    Index(None, "brand_id", "collaboration_id"),
)

code = _entity(
    "code",
    _text("code"),
    # Folded in Python (case, spaces, look-alikes), never by the database's locale; two codes a shopper could confuse collide here.
    _text("code_norm"),
    _json("discount"),
    _timestamp("starts_at", nullable=True),
    _timestamp("ends_at", nullable=True),
    Column("max_redemptions", Integer),
    _text("credit_policy", default="always"),
    _timestamp("disabled_at", nullable=True),
    UniqueConstraint("brand_id", "code_norm"),
    _brand_key(),
)

# The id of a shop system for a code that it does not spell out (Stripe's `promo_…`). Compared exactly, case-sensitive.
code_alias = _brand_table(
    "code_alias",
    _text("alias"),
    _uuid("code_id"),
    _timestamp("created_at"),
    _primary_key("brand_id", "alias"),
    _foreign_key("code_id", "code"),
    Index(None, "brand_id", "code_id"),
)

# Append-only. The assignment that started last before an order's time owns the code at that time; once it has ended, nobody does.
code_assignment = _brand_table(
    "code_assignment",
    _uuid("id"),
    _uuid("code_id"),
    _uuid("collaboration_id"),
    _timestamp("starts_at", nullable=True),
    _timestamp("ends_at", nullable=True),
    _timestamp("created_at"),
    _primary_key("brand_id", "id"),
    _foreign_key("code_id", "code"),
    _foreign_key("collaboration_id", "collaboration"),
    Index(None, "brand_id", "code_id"),
    Index(None, "brand_id", "collaboration_id"),
)

cost = _entity(
    "cost",
    _uuid("campaign_id"),
    # Null: a cost of the whole campaign (an agency, an event), which no breakdown below the campaign can split.
    _uuid("collaboration_id", nullable=True),
    _text("kind"),
    Column("amount_minor", BigInteger, nullable=False),
    _text("currency"),
    Column("incurred_on", Date, nullable=False),
    _text("note", nullable=True),
    _foreign_key("campaign_id", "campaign"),
    _foreign_key("collaboration_id", "collaboration"),
    Index(None, "brand_id", "campaign_id"),
    Index(None, "brand_id", "collaboration_id"),
    Index(None, "brand_id", "incurred_on"),
)

# ── Found before the brand is known ──────────────────────────────────────────────────────────────────────────────────

host = Table(
    "host",
    metadata,
    _text("host"),
    _uuid("brand_id"),
    _timestamp("created_at"),
    _timestamp("archived_at", nullable=True),
    _changed_xid(),
    _primary_key("host"),
    Index(None, "brand_id"),
    Index(None, "changed_xid"),
)

# Everything one redirect needs. Never recycled: an archived link keeps its row, so that its slug is never given out again.
route = Table(
    "route",
    metadata,
    _text("host"),
    _text("slug"),
    _uuid("brand_id"),
    _uuid("link_id"),
    # With UTM applied; the name of the click parameter is the next column.
    _text("destination_url"),
    _text("click_param"),
    _timestamp("expires_at", nullable=True),
    Column("disabled", Boolean, nullable=False, server_default=text("false")),
    _changed_xid(),
    _primary_key("host", "slug"),
    Index(None, "brand_id", "link_id"),
    Index(None, "changed_xid"),
)

api_key = Table(
    "api_key",
    metadata,
    # SHA-256 of the whole key: a key is 256 random bits, so there is nothing to stretch.
    Column("key_hash", LargeBinary, nullable=False),
    _uuid("id"),
    _uuid("brand_id"),
    _text("kind"),
    Column("scopes", ARRAY(Text), nullable=False, server_default="{}"),
    _text("shop", nullable=True),
    _text("name", default=""),
    # The whole key when it is publishable (it stands in every page of the shop anyway), else its last four characters.
    _text("hint"),
    _timestamp("created_at"),
    _timestamp("revoked_at", nullable=True),
    _changed_xid(),
    _primary_key("key_hash"),
    UniqueConstraint("id"),
    Index(None, "brand_id"),
    Index(None, "changed_xid"),
    CheckConstraint("kind IN ('secret', 'publishable')", name="kind"),
)

source = Table(
    "source",
    metadata,
    _text("token"),
    _uuid("id"),
    _uuid("brand_id"),
    _text("platform"),
    _text("name", default=""),
    _text("shop", default="main"),
    # Each is encrypted (app/secret.py). A list, because during a rotation the old and the new one are in force.
    Column("secrets", ARRAY(Text), nullable=False, server_default="{}"),
    _json("settings", "{}"),
    _timestamp("created_at"),
    _timestamp("updated_at"),
    _timestamp("archived_at", nullable=True),
    # Earlier times in the archive: from, until, from, until … An order that only a pixel reported meanwhile is not unverified.
    Column("pauses", ARRAY(DateTime(timezone=True)), nullable=False, server_default="{}"),
    _changed_xid(),
    _primary_key("token"),
    UniqueConstraint("id"),
    Index(None, "brand_id"),
    Index(None, "changed_xid"),
)

# ── What happened ────────────────────────────────────────────────────────────────────────────────────────────────────

CLICK_CLASSES = ("human", "bot", "preview", "prefetch", "head", "test")
"""`click.class` is an index into this tuple. `test`: of the trial of a source, in no count."""

# Partitioned by month of its UUIDv7 id. There is no DEFAULT partition: with one, attaching a month would scan it under a lock.
click = _brand_table(
    "click",
    _uuid("id"),
    _uuid("link_id"),
    _timestamp("occurred_at"),
    Column("class", SmallInteger, nullable=False),
    # A keyed hash of truncated address and browser; null when the visitor asked not to be followed (Sec-GPC).
    Column("visitor", BigInteger),
    _text("country", nullable=True),
    _text("device", nullable=True),
    _text("os", nullable=True),
    _text("browser", nullable=True),
    _text("in_app", nullable=True),
    _text("referrer_host", nullable=True),
    _primary_key("brand_id", "id"),
    postgresql_partition_by="RANGE (id)",
)

# Clicks per link and day in the brand's own zone, which reports add up. Updated by the drain; can be rebuilt from `click`.
click_day = _brand_table(
    "click_day",
    Column("day", Date, nullable=False),
    _uuid("link_id"),
    _counter("clicks"),
    _counter("bots"),
    _counter("previews"),
    _counter("prefetches"),
    _counter("heads"),
    _counter("unique_clicks"),
    _primary_key("brand_id", "day", "link_id"),
    # Rows are updated all day long: room for updates within the page.
    postgresql_with={"fillfactor": "70"},
)

# The first human click of a visitor on a link and UTC day. Filled asynchronously from unique_pending.
visit = _brand_table(
    "visit",
    Column("day", Date, nullable=False),
    _uuid("link_id"),
    Column("visitor", BigInteger, nullable=False),
    _uuid("first_click_id"),
    _primary_key("brand_id", "day", "link_id", "visitor"),
)

# Redirects that were refused: an unknown slug of a brand's own host, an expired or disabled link.
# Hits on the shared host that belong to nobody stand under the nil brand. `slug` is '(other)' past a limit per host and day.
missed_day = _brand_table(
    "missed_day",
    Column("day", Date, nullable=False),
    _text("host"),
    _text("slug"),
    _text("reason"),
    _counter("hits"),
    _primary_key("brand_id", "day", "host", "slug", "reason"),
    CheckConstraint("reason IN ('unknown_slug', 'expired', 'disabled')", name="reason"),
)

# A visitor of the shop, by its first-party id, landed with this click id (the landing beacon of /a.js).
visitor_click = _brand_table(
    "visitor_click",
    _text("visitor_id"),
    _uuid("click_id"),
    _timestamp("seen_at"),
    _primary_key("brand_id", "visitor_id", "click_id"),
    Index(None, "brand_id", "click_id"),
)

DELIVERY_STATUSES = ("received", "recorded", "ignored", "rejected", "unsigned")

# One raw message of a public door, kept as received.
delivery = _brand_table(
    "delivery",
    # The id of the line in the spool, which makes a replay of the spool idempotent.
    _uuid("id"),
    # The source, or the publishable key for pixel and beacon; null when neither was known.
    _uuid("origin_id", nullable=True),
    _text("platform"),
    _text("shop", default="main"),
    _text("topic", default=""),
    # The sender's own id of the delivery ('' when it has none), with the body's hash: WooCommerce may share an id within a second.
    _text("external_id", default=""),
    Column("body_hash", LargeBinary, nullable=False),
    _json("headers", "{}"),
    Column("body", LargeBinary, nullable=False),
    _text("status"),
    _text("reason", nullable=True),
    _text("detail", nullable=True),
    _uuid("conversion_id", nullable=True),
    _timestamp("received_at"),
    _timestamp("recorded_at", nullable=True),
    Column("attempts", Integer, nullable=False, server_default="0"),
    _primary_key("brand_id", "id"),
    UniqueConstraint("brand_id", "origin_id", "external_id", "body_hash", name="uq_delivery_once"),
    # For the health of a source: its newest delivery of each status.
    Index("ix_delivery_source", "brand_id", "origin_id", "status", "id"),
    # One for each filter of the list, with the id that it is sorted by. None for pairs of filters: the rarer of the two decides.
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
conversion = _brand_table(
    "conversion",
    _uuid("id"),
    _uuid("root_id"),
    _text("shop"),
    _text("kind"),
    _text("order_id", nullable=True),
    _timestamp("occurred_at", nullable=True),
    _text("status", default="stub"),
    _text("status_reason", nullable=True),
    # Since when only refunds change its money; and when an approved order will be locked.
    _timestamp("locked_at", nullable=True),
    _timestamp("locks_at", nullable=True),
    _text("currency", nullable=True),
    Column("items_minor", BigInteger),
    Column("discount_minor", BigInteger),
    Column("tax_minor", BigInteger),
    Column("shipping_minor", BigInteger),
    Column("net_minor", BigInteger),
    _counter("refunded_minor"),
    Column("codes", ARRAY(Text), nullable=False, server_default="{}"),
    _text("visitor_id", nullable=True),
    _text("customer_key", nullable=True),
    Column("customer_is_new", Boolean),
    _text("origin", default="unknown"),
    Column("test", Boolean, nullable=False, server_default=text("false")),
    # unsigned, net_estimated, over_cap, amount_disagreement, changed_after_lock, refund_over_order … (docs/orders.md)
    Column("flags", ARRAY(Text), nullable=False, server_default="{}"),
    # Hash of everything folded and decided: equal digest, nothing to write.
    Column("digest", LargeBinary),
    _timestamp("created_at"),
    _timestamp("updated_at"),
    _primary_key("brand_id", "id"),
    _brand_key(),
    Index(None, "brand_id", "root_id"),
    Index("ix_conversion_occurred", "brand_id", "occurred_at", "id"),
    Index("ix_conversion_locks", "brand_id", "locks_at", postgresql_where=text("locks_at IS NOT NULL")),
    CheckConstraint(
        "status IN ('stub', 'pending', 'approved', 'locked', 'paid', 'rejected', 'unverified', 'merged')", name="status"
    ),
)

# The names of an order: its id, its number, its checkout token. The order that is inserted first under a name owns it.
order_ref = _brand_table(
    "order_ref",
    _text("shop"),
    _text("kind"),
    _text("ref"),
    _uuid("conversion_id"),
    _primary_key("brand_id", "shop", "kind", "ref"),
)

# Names in an order of what may arrive or change later: 'click:<uuid>', 'visitor:<id>', 'code:<folded>', 'alias:<id of a code>'. The drain, the
# landing beacon and a change of a code find the order by them.
order_touch = _brand_table(
    "order_touch",
    _text("touch"),
    _uuid("conversion_id"),
    _primary_key("brand_id", "touch", "conversion_id"),
)

# One report of an order. Only added; `received_at` may go back to an earlier receipt of an equal report.
witness = _brand_table(
    "witness",
    _uuid("conversion_id"),
    *_receipt(),
    Column("report", JSONB, nullable=False),
    _primary_key("brand_id", "conversion_id", "content_hash"),
    # Facts are added first: the row of a new order, written once, follows from them.
    _foreign_key("conversion_id", "conversion", before=True),
)

# One report of a refund, cancellation, chargeback or the reversal of one, stored as a witness is.
adjustment = _brand_table(
    "adjustment",
    _uuid("conversion_id"),
    _text("kind"),
    _text("refund_id"),
    *_receipt(),
    # Null in rows that the previous release writes while it runs beside this one; they are read from the columns below (orders/facts.py).
    Column("report", JSONB),
    # What the previous release knows of a report; to be dropped by a later migration.
    Column("amount_minor", BigInteger),
    _text("currency", nullable=True),
    _timestamp("occurred_at", nullable=True),
    _json("lines", "[]"),
    Column("of_total", Boolean, nullable=False, server_default=text("false")),
    Column("cumulative", Boolean, nullable=False, server_default=text("false")),
    _text("part_of", nullable=True),
    Column("by_lines", Boolean, nullable=False, server_default=text("false")),
    _text("reverses", nullable=True),
    _primary_key("brand_id", "conversion_id", "kind", "refund_id", "content_hash"),
    _foreign_key("conversion_id", "conversion", before=True),
    CheckConstraint("kind IN ('refund', 'cancellation', 'chargeback', 'reversal')", name="kind"),
)

# A decision of somebody about an order, or the lock after its hold (no key). Only added; the order's status is folded from them and its witnesses.
status_change = _brand_table(
    "status_change",
    _uuid("conversion_id"),
    _uuid("id"),
    _text("status"),
    # The status it found, for the record.
    _text("was"),
    _text("reason", nullable=True),
    _text("note", nullable=True),
    _uuid("key_id", nullable=True),
    _timestamp("changed_at"),
    _primary_key("brand_id", "conversion_id", "id"),
    _foreign_key("conversion_id", "conversion"),
    CheckConstraint("status IN ('pending', 'approved', 'rejected', 'locked', 'paid')", name="status"),
)

# ── What follows from it ─────────────────────────────────────────────────────────────────────────────────────────────

# Who gets the order and why: one row per surviving order, replaced when a later fact changes it.
decision = _brand_table(
    "decision",
    _uuid("conversion_id"),
    _text("verdict"),
    _text("method", nullable=True),
    _text("model"),
    Column("policy_version", Integer, nullable=False),
    _text("reason"),
    _json("credits", "[]"),
    _json("candidates", "[]"),
    _timestamp("decided_at"),
    _primary_key("brand_id", "conversion_id"),
    _foreign_key("conversion_id", "conversion"),
    CheckConstraint("verdict IN ('attributed', 'unattributed', 'pending_click')", name="verdict"),
)

# The money that reports add up: one row per share and event. `position` is 0 for the order, 1… for its refunds as they took effect.
# An order that nobody gets has rows with collaboration_id null, so that attributed and unattributed add up to all orders.
credit = _brand_table(
    "credit",
    _uuid("conversion_id"),
    Column("position", Integer, nullable=False),
    Column("share", SmallInteger, nullable=False),
    _uuid("collaboration_id", nullable=True),
    _uuid("campaign_id", nullable=True),
    _uuid("influencer_id", nullable=True),
    _uuid("link_id", nullable=True),
    _uuid("code_id", nullable=True),
    _text("method", nullable=True),
    Column("weight_bp", Integer, nullable=False),
    # Positive for the order, negative for a refund (positive again for its reversal).
    Column("amount_minor", BigInteger, nullable=False),
    _text("currency"),
    _text("kind"),
    # The time of the order (position 0) or of the refund.
    _timestamp("occurred_at"),
    # False for test, unverified and rejected orders: kept, never counted.
    Column("counted", Boolean, nullable=False),
    _primary_key("brand_id", "conversion_id", "position", "share"),
    _foreign_key("conversion_id", "conversion"),
    Index("ix_credit_occurred", "brand_id", "occurred_at"),
    Index("ix_credit_collaboration", "brand_id", "collaboration_id", "occurred_at"),
)

# ── The machinery ────────────────────────────────────────────────────────────────────────────────────────────────────

# The answer to a request with an Idempotency-Key. Secrets are left out of the stored body.
idempotency = _brand_table(
    "idempotency",
    _uuid("key_id"),
    _text("key"),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("status", SmallInteger, nullable=False),
    _json("body"),
    _timestamp("created_at"),
    _primary_key("brand_id", "key_id", "key"),
    Index(None, "brand_id", "created_at"),
)

# Orders to decide again. `after` null: just appended; else the transaction that must have ended, with all that ran beside it, before it is taken.
redecide = Table(
    "redecide",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    _uuid("brand_id"),
    _uuid("conversion_id"),
    Column("after", TransactionId),
    # Earliest moment it is looked at (the end of the wait for a click); null: as soon as possible.
    _timestamp("not_before", nullable=True),
    _primary_key("id"),
    Index("ix_redecide_new", "id", postgresql_where=text("after IS NULL")),
)

# Human clicks of one drained chunk whose visitors have not been counted yet: arrays of equal length, not compressed (migration 0010).
unique_pending = Table(
    "unique_pending",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    _uuid("brand_id"),
    Column("click_ids", ARRAY(Uuid), nullable=False),
    Column("link_ids", ARRAY(Uuid), nullable=False),
    Column("visitors", ARRAY(BigInteger), nullable=False),
    _primary_key("id"),
)

# Work that takes longer than a request: an import, a reconciliation, a replay. The process that runs it holds `claim` and renews `alive_at`; a job
# whose process has stopped is taken up again, from `checkpoint`.
job = _brand_table(
    "job",
    _uuid("id"),
    _text("kind"),
    _text("state", default="queued"),
    _json("arguments", "{}"),
    _counter("done"),
    Column("total", BigInteger),
    _text("unit", default="rows"),
    _json("checkpoint"),
    _json("result"),
    _text("error", nullable=True),
    _uuid("claim", nullable=True),
    _timestamp("alive_at", nullable=True),
    # Attempts that did not end in order: a job that kills its runner is given up after some.
    Column("attempts", Integer, nullable=False, server_default="0"),
    _timestamp("cancelled_at", nullable=True),
    _timestamp("created_at"),
    _timestamp("started_at", nullable=True),
    _timestamp("finished_at", nullable=True),
    _primary_key("brand_id", "id"),
    Index("ix_job_open", "id", postgresql_where=text("state IN ('queued', 'running')")),
    Index(None, "finished_at"),
    CheckConstraint("state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="state"),
)

# Results of a job for single lines: those of an import that were refused, every order of a reconciliation.
job_line = _brand_table(
    "job_line",
    _uuid("job_id"),
    Column("number", BigInteger, nullable=False),
    _text("status"),
    _text("reason", nullable=True),
    _text("detail", nullable=True),
    _json("details", "{}"),
    _primary_key("brand_id", "job_id", "number"),
    Index(None, "brand_id", "job_id", "status", "number"),
)

# A file uploaded for a job, in pieces of some 100 KB, deleted when the job has ended. Pieces without a job belong to an upload that broke off.
job_piece = _brand_table(
    "job_piece",
    _uuid("job_id"),
    Column("number", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    _primary_key("brand_id", "job_id", "number"),
    Index(None, "job_id"),
)

# Until when each host has drained its spool: reports are complete until the earliest of these.
drain_state = Table(
    "drain_state",
    metadata,
    _text("host"),
    _timestamp("drained_until"),
    _timestamp("updated_at"),
    _primary_key("host"),
)

LOOKUPS = frozenset({host, route, api_key, source})
LOCALS = frozenset({redecide, unique_pending, drain_state, job, job_line, job_piece})
