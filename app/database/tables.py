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

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.database.columns import (
    TransactionId,
    brand_key,
    brand_table,
    choice_column,
    counter_column,
    entity,
    flag_column,
    json_column,
    lifetime,
    lookup_table,
    metadata,
    queue_table,
    receipt,
    reference,
    text_column,
    timestamp_column,
    uuid_column,
)

DEFAULT_HOST = "*"
"""`route.host` of links on the shared host: every host name that is in no brand's `host` row."""

# ── Who and what ─────────────────────────────────────────────────────────────────────────────────────────────────────

brand = sa.Table(
    "brand",
    metadata,
    uuid_column("id", primary_key=True),
    text_column("name"),
    text_column("currency"),
    # Decimals of the currencies that it has declared, by code: those that neither ISO 4217 nor domain/money.py lists.
    json_column("currencies", "{}"),
    text_column("time_zone", server_default="UTC"),
    # The query parameter that carries the click id to the shop. A shop that reads `dub_id` already may keep it.
    text_column("click_param", server_default="ariane"),
    *choice_column("consent", "granted", "denied", "wait", server_default="wait"),
    # What becomes of the query of a click (domain/destinations.py), from where the brand's own people click, and what a browser with Sec-GPC gets;
    # `door_rule` has a copy for the doors.
    *choice_column("forward_query", "link_wins", "incoming_wins", "nothing", server_default="link_wins"),
    sa.Column("own_networks", ARRAY(sa.Text), nullable=False, server_default="{}"),
    *choice_column("gpc", "respect", "click_id_only", server_default="respect"),
    # How far the amounts of two reports of one order may differ without a flag: the greater of the two.
    sa.Column("witness_tolerance_bp", sa.Integer, nullable=False, server_default="100"),
    sa.Column("witness_tolerance_minor", sa.BigInteger, nullable=False, server_default="1"),
    # How far unsigned pixels are believed (domain/trust.py).
    *choice_column("pixel_signals", "normal", "signed_only", "never", server_default="normal"),
    sa.Column("pixel_window_minutes", sa.Integer, nullable=False, server_default="60"),
    sa.Column("pixel_claims_max", sa.Integer, nullable=False, server_default="20"),
    # Null: the default of each currency.
    sa.Column("pixel_amount_max_minor", sa.BigInteger),
    json_column("metadata", "{}"),
    *lifetime(),
)

influencer = entity(
    "influencer",
    text_column("name"),
    text_column("email", nullable=True),
    # The influencer's own id as a customer of the shop; and the keys by which orders would know them (domain/customers.py), null until worked out.
    text_column("customer_id", nullable=True),
    sa.Column("customer_keys", ARRAY(sa.Text)),
    json_column("handles", "[]"),
    sa.Column("tags", ARRAY(sa.Text), nullable=False, server_default="{}"),
    brand_key(),
)

campaign = entity(
    "campaign",
    text_column("name"),
    text_column("objective"),
    text_column("type", nullable=True),
    text_column("currency"),
    timestamp_column("starts_at", nullable=True),
    timestamp_column("ends_at", nullable=True),
    sa.Column("budget_minor", sa.BigInteger),
    json_column("targets", "[]"),
    brand_key(),
)

# Append-only: the version in force when an order occurred governs it. `scope_id` is a campaign, or the brand itself for its default.
policy = brand_table(
    "policy",
    uuid_column("scope_id", primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    timestamp_column("effective_from", nullable=True),
    json_column("rules", "{}"),
    timestamp_column("created_at"),
    brand_key(),
)

collaboration = entity(
    "collaboration",
    *reference("campaign"),
    *reference("influencer", indexed=True),
    json_column("commission"),
    sa.UniqueConstraint("brand_id", "campaign_id", "influencer_id"),
)

link = entity(
    "link",
    *reference("collaboration", indexed=True),
    text_column("host"),
    text_column("slug"),
    text_column("destination_url"),
    text_column("placement", nullable=True),
    json_column("utm", "{}"),
    # Null: as the brand says.
    text_column("forward_query", nullable=True),
    timestamp_column("expires_at", nullable=True),
    timestamp_column("disabled_at", nullable=True),
    sa.UniqueConstraint("brand_id", "host", "slug"),
)

code = entity(
    "code",
    text_column("code"),
    # Folded in Python (case, spaces, look-alikes), never by the database's locale; two codes a shopper could confuse collide here.
    text_column("code_norm"),
    json_column("discount"),
    timestamp_column("starts_at", nullable=True),
    timestamp_column("ends_at", nullable=True),
    sa.Column("max_redemptions", sa.Integer),
    text_column("credit_policy", server_default="always"),
    timestamp_column("disabled_at", nullable=True),
    sa.UniqueConstraint("brand_id", "code_norm"),
    brand_key(),
)

# What a shop system puts in the place of a code (Paddle's `dsc_…`), or states beside its codes as an id (Stripe's `promo_…`): compared exactly there.
code_alias = brand_table(
    "code_alias",
    text_column("alias", primary_key=True),
    *reference("code", indexed=True),
    timestamp_column("created_at"),
    # Folded as codes are; '' in rows of the release before.
    text_column("alias_norm", server_default=""),
    sa.Index(None, "brand_id", "alias_norm"),
)

# Append-only. The assignment that started last before an order's time owns the code at that time; once it has ended, nobody does.
code_assignment = brand_table(
    "code_assignment",
    uuid_column("id", primary_key=True),
    *reference("code", indexed=True),
    *reference("collaboration", indexed=True),
    timestamp_column("starts_at", nullable=True),
    timestamp_column("ends_at", nullable=True),
    timestamp_column("created_at"),
)

cost = entity(
    "cost",
    *reference("campaign", indexed=True),
    # Null: a cost of the whole campaign (an agency, an event), which no breakdown below the campaign can split.
    *reference("collaboration", nullable=True, indexed=True),
    text_column("kind"),
    sa.Column("amount_minor", sa.BigInteger, nullable=False),
    text_column("currency"),
    sa.Column("incurred_on", sa.Date, nullable=False),
    text_column("note", nullable=True),
    sa.Index(None, "brand_id", "incurred_on"),
)

# ── Found before the brand is known ──────────────────────────────────────────────────────────────────────────────────

host = lookup_table(
    "host",
    text_column("host", primary_key=True),
    timestamp_column("created_at"),
    timestamp_column("archived_at", nullable=True),
    # Where visitors of its root, of unknown and of expired links are sent, and the language of our own pages (domain/host_pages.py).
    json_column("pages", "{}"),
    sa.Index(None, "brand_id"),
)

# What the doors know of a brand, for the brands that have changed any of it: copies of columns of `brand`.
door_rule = lookup_table(
    "door_rule",
    sa.PrimaryKeyConstraint("brand_id"),
    text_column("forward_query"),
    sa.Column("own_networks", ARRAY(sa.Text), nullable=False),
    text_column("gpc", server_default="respect"),
)

# Everything one redirect needs. Never recycled: an archived link keeps its row, so that its slug is never given out again.
route = lookup_table(
    "route",
    text_column("host", primary_key=True),
    text_column("slug", primary_key=True),
    uuid_column("link_id"),
    # With UTM applied; the name of the click parameter is the next column.
    text_column("destination_url"),
    text_column("click_param"),
    timestamp_column("expires_at", nullable=True),
    flag_column("disabled"),
    # The link's own; null: as the brand's door_rule says.
    text_column("forward_query", nullable=True),
    sa.Index(None, "brand_id", "link_id"),
)

api_key = lookup_table(
    "api_key",
    # SHA-256 of the whole key: a key is 256 random bits, so there is nothing to stretch.
    sa.Column("key_hash", sa.LargeBinary, primary_key=True),
    uuid_column("id", unique=True),
    *choice_column("kind", "secret", "publishable"),
    sa.Column("scopes", ARRAY(sa.Text), nullable=False, server_default="{}"),
    text_column("shop", nullable=True),
    text_column("name", server_default=""),
    # The whole key when it is publishable (it stands in every page of the shop anyway), else its last four characters.
    text_column("hint"),
    timestamp_column("created_at"),
    timestamp_column("revoked_at", nullable=True),
    # When the server with this secret key began and ceased to report every order: from, until, from … It does so now where their number is odd.
    sa.Column("every_order_edges", ARRAY(sa.TIMESTAMP(timezone=True)), nullable=False, server_default="{}"),
    # With these the shop's server signs pixels that carry this publishable key. Each is encrypted (app/secret.py), the newest comes last.
    sa.Column("signing_secrets", ARRAY(sa.Text), nullable=False, server_default="{}"),
    sa.Index(None, "brand_id"),
)

source = lookup_table(
    "source",
    text_column("token", primary_key=True),
    uuid_column("id", unique=True),
    text_column("platform"),
    text_column("name", server_default=""),
    text_column("shop", server_default="main"),
    # Each is encrypted (app/secret.py). A list, because during a rotation the old and the new one are in force.
    sa.Column("secrets", ARRAY(sa.Text), nullable=False, server_default="{}"),
    json_column("settings", "{}"),
    *lifetime(),
    # Earlier times in the archive: from, until, from, until … An order that only a pixel reported meanwhile is not unverified.
    sa.Column("pauses", ARRAY(sa.DateTime(timezone=True)), nullable=False, server_default="{}"),
    # The domain or address of the shop (domain/sites.py): that of its first message, or as the brand says. Null: none was named yet.
    text_column("site", nullable=True),
    sa.Index(None, "brand_id"),
)

# ── What happened ────────────────────────────────────────────────────────────────────────────────────────────────────

# Partitioned by month of its UUIDv7 id. There is no DEFAULT partition: with one, attaching a month would scan it under a lock.
click = brand_table(
    "click",
    uuid_column("id", primary_key=True),
    uuid_column("link_id"),
    timestamp_column("occurred_at"),
    sa.Column("class", sa.SmallInteger, nullable=False),  # an index into domain/click_classes.py
    # A keyed hash of address and browser, another every day; null when the visitor asked not to be followed (Sec-GPC).
    sa.Column("visitor", sa.BigInteger),
    *(text_column(name, nullable=True) for name in ("country", "device", "os", "browser", "in_app", "referrer_host")),
    postgresql_partition_by="RANGE (id)",
)

# Clicks per link and day in the brand's own zone, which reports add up. Updated by the drain; can be rebuilt from `click`.
click_day = brand_table(
    "click_day",
    sa.Column("day", sa.Date, primary_key=True),
    uuid_column("link_id", primary_key=True),
    *map(counter_column, ("clicks", "bots", "previews", "prefetches", "heads", "unique_clicks")),
    # Rows are updated all day long: room for updates within the page.
    postgresql_with={"fillfactor": "70"},
)

# The first human click of a visitor on a link and UTC day. Filled asynchronously from unique_pending.
visit = brand_table(
    "visit",
    sa.Column("day", sa.Date, primary_key=True),
    uuid_column("link_id", primary_key=True),
    sa.Column("visitor", sa.BigInteger, primary_key=True),
    uuid_column("first_click_id"),
)

MISSED_REASONS = ("unknown_slug", "expired", "disabled")

# Redirects that were refused: an unknown slug of a brand's own host, an expired or disabled link.
# Hits on the shared host that belong to nobody stand under the nil brand. `slug` is '(other)' past a limit per host and day.
missed_day = brand_table(
    "missed_day",
    sa.Column("day", sa.Date, primary_key=True),
    text_column("host", primary_key=True),
    text_column("slug", primary_key=True),
    *choice_column("reason", *MISSED_REASONS, primary_key=True),
    counter_column("hits"),
)

# A visitor of the shop, by its first-party id, landed with this click id (the landing beacon of /a.js).
visitor_click = brand_table(
    "visitor_click",
    text_column("visitor_id", primary_key=True),
    uuid_column("click_id", primary_key=True),
    timestamp_column("seen_at"),
    sa.Index(None, "brand_id", "click_id"),
)

DELIVERY_STATUSES = ("received", "recorded", "ignored", "rejected", "unsigned")

# One message of a public door. Whole until it is recorded or ignored.
delivery = brand_table(
    "delivery",
    # The id of the line in the spool, which makes a replay of the spool idempotent.
    uuid_column("id", primary_key=True),
    # The source, or the publishable key for pixel and beacon; null when neither was known.
    uuid_column("origin_id", nullable=True),
    text_column("platform"),
    text_column("shop", server_default="main"),
    text_column("topic", server_default=""),
    # The sender's own id of the delivery ('' when it has none), with the body's hash: WooCommerce may share an id within a second.
    text_column("external_id", server_default=""),
    sa.Column("body_hash", sa.LargeBinary, nullable=False),
    json_column("headers", "{}"),
    # As received, or blotted: without data of the shopper, and with tokens in place of the customer's id and e-mail. The hash is that of the bytes received.
    sa.Column("body", sa.LargeBinary, nullable=False),
    flag_column("blotted"),
    text_column("status"),
    text_column("reason", nullable=True),
    text_column("detail", nullable=True),
    uuid_column("conversion_id", nullable=True),
    timestamp_column("received_at"),
    timestamp_column("recorded_at", nullable=True),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    # When its signature was found right, and by which secret (`signing.secret_id`); null: it has none, or an older release took it.
    timestamp_column("verified_at", nullable=True),
    text_column("verified_by", nullable=True),
    # When body, headers and detail were emptied, because somebody asked to be forgotten (docs/privacy.md).
    timestamp_column("erased_at", nullable=True),
    sa.UniqueConstraint("brand_id", "origin_id", "external_id", "body_hash", name="uq_delivery_once"),
    # For the health of a source: its newest delivery of each status.
    sa.Index("ix_delivery_source", "brand_id", "origin_id", "status", "id"),
    # One for each filter of the list, with the id that it is sorted by. None for pairs of filters: the rarer of the two decides.
    *(sa.Index(None, "brand_id", name, "id") for name in ("status", "origin_id", "platform", "topic", "shop")),
    sa.Index(None, "brand_id", "reason", "id", postgresql_where=sa.text("reason IS NOT NULL")),
    sa.Index(None, "brand_id", "external_id", "id", postgresql_where=sa.text("external_id <> ''")),
    sa.Index(None, "brand_id", "conversion_id"),
    # What an older release kept whole, for the job that blots it; empty ever after.
    sa.Index(
        "ix_delivery_to_blot",
        "brand_id",
        "id",
        postgresql_where=sa.text("NOT blotted AND status IN ('recorded', 'ignored')"),
    ),
)

CONVERSION_STATUSES = ("stub", "pending", "approved", "locked", "paid", "rejected", "unverified", "merged")

# An order, lead, signup, install … One row per id a report arrived under; `root_id` names the row that stands for the order after a merge.
# The columns after root_id are folded from the witnesses and adjustments of all rows with this root; only roots carry them.
conversion = brand_table(
    "conversion",
    uuid_column("id", primary_key=True),
    uuid_column("root_id"),
    text_column("shop"),
    text_column("kind"),
    # Its name in the shop system, or that of an ambiguous number (domain/naming.py); null: neither is known.
    text_column("primary_ref", nullable=True),
    # Whether another order was taken out of it: a name that led here may lead elsewhere now.
    flag_column("taken_apart"),
    text_column("order_id", nullable=True),
    timestamp_column("occurred_at", nullable=True),
    *choice_column("status", *CONVERSION_STATUSES, server_default="stub"),
    text_column("status_reason", nullable=True),
    # Since when only refunds change its money; and when an approved order will be locked.
    timestamp_column("locked_at", nullable=True),
    timestamp_column("locks_at", nullable=True),
    text_column("currency", nullable=True),
    *(sa.Column(f"{part}_minor", sa.BigInteger) for part in ("items", "discount", "tax", "shipping", "net")),
    counter_column("refunded_minor"),
    sa.Column("codes", ARRAY(sa.Text), nullable=False, server_default="{}"),
    text_column("visitor_id", nullable=True),
    # Names as in order_touch of what only an unsigned report by number names, and those of them that claim too many orders in a day.
    sa.Column("claims", ARRAY(sa.Text), nullable=False, server_default="{}"),
    sa.Column("claims_withheld", ARRAY(sa.Text), nullable=False, server_default="{}"),
    text_column("customer_key", nullable=True),
    sa.Column("customer_is_new", sa.Boolean),
    text_column("origin", server_default="unknown"),
    flag_column("test"),
    # unsigned, net_estimated, over_cap, amount_disagreement, changed_after_lock, refund_over_order … (docs/orders.md)
    sa.Column("flags", ARRAY(sa.Text), nullable=False, server_default="{}"),
    # Hash of everything folded and decided: equal digest, nothing to write.
    sa.Column("digest", sa.LargeBinary),
    timestamp_column("created_at"),
    timestamp_column("updated_at"),
    brand_key(),
    sa.Index(None, "brand_id", "root_id"),
    sa.Index("ix_conversion_occurred", "brand_id", "occurred_at", "id"),
    sa.Index(
        "ix_conversion_customer",
        "brand_id",
        "customer_key",
        "occurred_at",
        postgresql_where=sa.text("customer_key IS NOT NULL"),
    ),
    # Nearly every order has none.
    sa.Index("ix_conversion_claims", "brand_id", "occurred_at", postgresql_where=sa.text("claims <> '{}'")),
    sa.Index("ix_conversion_locks", "brand_id", "locks_at", postgresql_where=sa.text("locks_at IS NOT NULL")),
)

# The names of an order: its id, its number, its checkout token. The order that is inserted first under a name owns it; null: several orders of the
# shop system claim the name, so it leads to none of them.
order_ref = brand_table(
    "order_ref",
    text_column("shop", primary_key=True),
    text_column("kind", primary_key=True),
    text_column("ref", primary_key=True),
    uuid_column("conversion_id", nullable=True),
)

# Names in an order of what may arrive or change later: 'click:<uuid>', 'visitor:<id>', 'code:<folded>', 'alias:<id of a code>'. The drain, the
# landing beacon and a change of a code find the order by them.
order_touch = brand_table(
    "order_touch",
    text_column("touch", primary_key=True),
    uuid_column("conversion_id", primary_key=True),
)

# One report of an order. Only added; `received_at` may go back to an earlier receipt of an equal report.
witness = brand_table(
    "witness",
    # Facts are added first: the row of a new order, written once, follows from them.
    *reference("conversion", before=True, primary_key=True),
    *receipt(),
    sa.Column("report", JSONB, nullable=False),
)

# One report of a refund, cancellation, chargeback or the reversal of one, stored as a witness is.
adjustment = brand_table(
    "adjustment",
    *reference("conversion", before=True, primary_key=True),
    *choice_column("kind", "refund", "cancellation", "chargeback", "reversal", primary_key=True),
    text_column("refund_id", primary_key=True),
    # The names that its report gave the order; a witness has them in its report. Empty in rows of the previous release.
    sa.Column("refs", ARRAY(sa.Text), nullable=False, server_default="{}"),
    *receipt(),
    # Null in rows that the previous release writes while it runs beside this one; they are read from the columns below (orders/facts.py).
    sa.Column("report", JSONB),
    # What the previous release knows of a report; to be dropped by a later migration.
    sa.Column("amount_minor", sa.BigInteger),
    text_column("currency", nullable=True),
    timestamp_column("occurred_at", nullable=True),
    json_column("lines", "[]"),
    *map(flag_column, ("of_total", "cumulative", "by_lines")),
    *(text_column(name, nullable=True) for name in ("part_of", "reverses")),
)

# A decision of somebody about an order, or the lock after its hold (no key). Only added; the order's status is folded from them and its witnesses.
status_change = brand_table(
    "status_change",
    *reference("conversion", primary_key=True),
    uuid_column("id", primary_key=True),
    *choice_column("status", "pending", "approved", "rejected", "locked", "paid"),
    # The status it found, for the record.
    text_column("was"),
    text_column("reason", nullable=True),
    text_column("note", nullable=True),
    uuid_column("key_id", nullable=True),
    # The decision that a final status keeps, in JSON: it is never made again (orders/state.py).
    text_column("decided", nullable=True),
    timestamp_column("changed_at"),
)

# ── What follows from it ─────────────────────────────────────────────────────────────────────────────────────────────

# Who gets the order and why: one row per surviving order, replaced when a later fact changes it.
decision = brand_table(
    "decision",
    *reference("conversion", primary_key=True),
    *choice_column("verdict", "attributed", "unattributed", "pending_click"),
    text_column("method", nullable=True),
    text_column("model"),
    sa.Column("policy_version", sa.Integer, nullable=False),
    text_column("reason"),
    json_column("credits", "[]"),
    json_column("candidates", "[]"),
    # What would be decided now, where the order is locked and that differs; null: nothing else.
    sa.Column("now", JSONB),
    timestamp_column("decided_at"),
)

# The money that reports add up: one row per share and event. `position` is 0 for the order, 1… for its refunds as they took effect.
# An order that nobody gets has rows with collaboration_id null, so that attributed and unattributed add up to all orders.
credit = brand_table(
    "credit",
    *reference("conversion", primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("share", sa.SmallInteger, primary_key=True),
    *(
        uuid_column(f"{owner}_id", nullable=True)
        for owner in ("collaboration", "campaign", "influencer", "link", "code")
    ),
    text_column("method", nullable=True),
    sa.Column("weight_bp", sa.Integer, nullable=False),
    # Positive for the order, negative for a refund (positive again for its reversal).
    sa.Column("amount_minor", sa.BigInteger, nullable=False),
    text_column("currency"),
    text_column("kind"),
    # The time of the order (position 0) or of the refund.
    timestamp_column("occurred_at"),
    # False for test, unverified and rejected orders: kept, never counted.
    sa.Column("counted", sa.Boolean, nullable=False),
    # Whether only unsigned reports name the code, click or visitor that it is given for.
    flag_column("unsigned"),
    sa.Index("ix_credit_occurred", "brand_id", "occurred_at"),
    sa.Index("ix_credit_collaboration", "brand_id", "collaboration_id", "occurred_at"),
)

# ── The machinery ────────────────────────────────────────────────────────────────────────────────────────────────────

# The answer to a request with an Idempotency-Key. Secrets are left out of the stored body.
idempotency = brand_table(
    "idempotency",
    uuid_column("key_id", primary_key=True),
    text_column("key", primary_key=True),
    sa.Column("fingerprint", sa.LargeBinary, nullable=False),
    sa.Column("status", sa.SmallInteger, nullable=False),
    json_column("body"),
    timestamp_column("created_at"),
    sa.Index(None, "brand_id", "created_at"),
)

# Orders to decide again. `after` null: just appended; else the transaction that must have ended, with all that ran beside it, before it is taken.
redecide = queue_table(
    "redecide",
    uuid_column("conversion_id"),
    sa.Column("after", TransactionId),
    # Earliest moment it is looked at (the end of the wait for a click); null: as soon as possible.
    timestamp_column("not_before", nullable=True),
    timestamp_column("queued_at", server_default=sa.text("now()")),
    sa.Index("ix_redecide_new", "id", postgresql_where=sa.text("after IS NULL")),
)

# Human clicks of one drained chunk whose visitors have not been counted yet: arrays of equal length, not compressed (migration 0010).
unique_pending = queue_table(
    "unique_pending",
    sa.Column("click_ids", ARRAY(sa.Uuid), nullable=False),
    sa.Column("link_ids", ARRAY(sa.Uuid), nullable=False),
    sa.Column("visitors", ARRAY(sa.BigInteger), nullable=False),
)

# Work that takes longer than a request: an import, a reconciliation, a replay. The process that runs it holds `claim` and renews `alive_at`; a job
# whose process has stopped is taken up again, from `checkpoint`.
job = brand_table(
    "job",
    uuid_column("id", primary_key=True),
    text_column("kind"),
    *choice_column("state", "queued", "running", "succeeded", "failed", "cancelled", server_default="queued"),
    json_column("arguments", "{}"),
    counter_column("done"),
    sa.Column("total", sa.BigInteger),
    text_column("unit", server_default="rows"),
    json_column("checkpoint"),
    json_column("result"),
    text_column("error", nullable=True),
    uuid_column("claim", nullable=True),
    timestamp_column("alive_at", nullable=True),
    # Attempts that did not end in order: a job that kills its runner is given up after some.
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    timestamp_column("cancelled_at", nullable=True),
    timestamp_column("created_at"),
    timestamp_column("started_at", nullable=True),
    timestamp_column("finished_at", nullable=True, index=True),
    sa.Index("ix_job_open", "id", postgresql_where=sa.text("state IN ('queued', 'running')")),
)

# Results of a job for single lines: those of an import that were refused, every order of a reconciliation.
job_line = brand_table(
    "job_line",
    uuid_column("job_id", primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True),
    text_column("status"),
    text_column("reason", nullable=True),
    text_column("detail", nullable=True),
    json_column("details", "{}"),
    sa.Index(None, "brand_id", "job_id", "status", "number"),
)

# A file uploaded for a job, in pieces of some 100 KB, deleted when the job has ended. Pieces without a job belong to an upload that broke off.
job_piece = brand_table(
    "job_piece",
    uuid_column("job_id", primary_key=True, index=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
)

# Until when each host has drained its spool: reports are complete until the earliest of these. `left_at`: it has stopped, with its spool empty.
drain_state = sa.Table(
    "drain_state",
    metadata,
    text_column("host", primary_key=True),
    timestamp_column("drained_until"),
    timestamp_column("updated_at"),
    timestamp_column("left_at", nullable=True),
)

# One row. All hosts need the secret key with this fingerprint (secret.py).
installation = sa.Table(
    "installation",
    metadata,
    sa.Column(
        "singleton",
        sa.Boolean,
        sa.CheckConstraint("singleton", name="singleton"),
        primary_key=True,
        server_default=sa.text("true"),
    ),
    text_column("key_fingerprint"),
    timestamp_column("recorded_at"),
)

LOOKUPS = frozenset({host, door_rule, route, api_key, source})
LOCALS = frozenset({redecide, unique_pending, drain_state, installation, job, job_line, job_piece})
