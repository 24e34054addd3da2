"""the main loop: brands to costs, links and codes, clicks, orders, decisions

Revision: 0001, the first.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app.database.columns import TransactionId

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "brand",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column("click_param", sa.Text(), server_default="ariane", nullable=False),
        sa.Column("consent", sa.Text(), server_default="wait", nullable=False),
        sa.Column(
            "metadata", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("consent IN ('granted', 'denied', 'wait')", name=op.f("ck_brand_consent")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_brand")),
    )
    op.create_table(
        "influencer",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column(
            "handles", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column(
            "metadata", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["brand_id"], ["brand.id"], name=op.f("fk_influencer_brand_id")),
        sa.PrimaryKeyConstraint("brand_id", "id", name=op.f("pk_influencer")),
        sa.UniqueConstraint("brand_id", "external_id", name=op.f("uq_influencer_brand_id_external_id")),
    )
    op.create_table(
        "campaign",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("objective", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("budget_minor", sa.BigInteger(), nullable=True),
        sa.Column(
            "targets", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column(
            "metadata", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["brand_id"], ["brand.id"], name=op.f("fk_campaign_brand_id")),
        sa.PrimaryKeyConstraint("brand_id", "id", name=op.f("pk_campaign")),
        sa.UniqueConstraint("brand_id", "external_id", name=op.f("uq_campaign_brand_id_external_id")),
    )
    op.create_table(
        "policy",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("scope_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "rules", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["brand_id"], ["brand.id"], name=op.f("fk_policy_brand_id")),
        sa.PrimaryKeyConstraint("brand_id", "scope_id", "version", name=op.f("pk_policy")),
    )
    op.create_table(
        "collaboration",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("influencer_id", sa.Uuid(), nullable=False),
        sa.Column("commission", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "metadata", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["brand_id", "campaign_id"],
            ["campaign.brand_id", "campaign.id"],
            name=op.f("fk_collaboration_brand_id_campaign_id"),
        ),
        sa.ForeignKeyConstraint(
            ["brand_id", "influencer_id"],
            ["influencer.brand_id", "influencer.id"],
            name=op.f("fk_collaboration_brand_id_influencer_id"),
        ),
        sa.PrimaryKeyConstraint("brand_id", "id", name=op.f("pk_collaboration")),
        sa.UniqueConstraint(
            "brand_id", "campaign_id", "influencer_id", name=op.f("uq_collaboration_brand_id_campaign_id_influencer_id")
        ),
        sa.UniqueConstraint("brand_id", "external_id", name=op.f("uq_collaboration_brand_id_external_id")),
    )
    op.create_index(
        op.f("ix_collaboration_brand_id_influencer_id"), "collaboration", ["brand_id", "influencer_id"], unique=False
    )
    op.create_table(
        "link",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("collaboration_id", sa.Uuid(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("destination_url", sa.Text(), nullable=False),
        sa.Column("placement", sa.Text(), nullable=True),
        sa.Column(
            "utm", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "metadata", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["brand_id", "collaboration_id"],
            ["collaboration.brand_id", "collaboration.id"],
            name=op.f("fk_link_brand_id_collaboration_id"),
        ),
        sa.PrimaryKeyConstraint("brand_id", "id", name=op.f("pk_link")),
        sa.UniqueConstraint("brand_id", "external_id", name=op.f("uq_link_brand_id_external_id")),
        sa.UniqueConstraint("brand_id", "host", "slug", name=op.f("uq_link_brand_id_host_slug")),
    )
    op.create_index(op.f("ix_link_brand_id_collaboration_id"), "link", ["brand_id", "collaboration_id"], unique=False)
    op.create_table(
        "code",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("code_norm", sa.Text(), nullable=False),
        sa.Column("discount", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("max_redemptions", sa.Integer(), nullable=True),
        sa.Column("credit_policy", sa.Text(), server_default="always", nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "metadata", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["brand_id"], ["brand.id"], name=op.f("fk_code_brand_id")),
        sa.PrimaryKeyConstraint("brand_id", "id", name=op.f("pk_code")),
        sa.UniqueConstraint("brand_id", "code_norm", name=op.f("uq_code_brand_id_code_norm")),
        sa.UniqueConstraint("brand_id", "external_id", name=op.f("uq_code_brand_id_external_id")),
    )
    op.create_table(
        "code_assignment",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("code_id", sa.Uuid(), nullable=False),
        sa.Column("collaboration_id", sa.Uuid(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["brand_id", "code_id"], ["code.brand_id", "code.id"], name=op.f("fk_code_assignment_brand_id_code_id")
        ),
        sa.ForeignKeyConstraint(
            ["brand_id", "collaboration_id"],
            ["collaboration.brand_id", "collaboration.id"],
            name=op.f("fk_code_assignment_brand_id_collaboration_id"),
        ),
        sa.PrimaryKeyConstraint("brand_id", "id", name=op.f("pk_code_assignment")),
    )
    op.create_index(
        op.f("ix_code_assignment_brand_id_code_id"), "code_assignment", ["brand_id", "code_id"], unique=False
    )
    op.create_index(
        op.f("ix_code_assignment_brand_id_collaboration_id"),
        "code_assignment",
        ["brand_id", "collaboration_id"],
        unique=False,
    )
    op.create_table(
        "cost",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("collaboration_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("incurred_on", sa.Date(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column(
            "metadata", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["brand_id", "campaign_id"], ["campaign.brand_id", "campaign.id"], name=op.f("fk_cost_brand_id_campaign_id")
        ),
        sa.ForeignKeyConstraint(
            ["brand_id", "collaboration_id"],
            ["collaboration.brand_id", "collaboration.id"],
            name=op.f("fk_cost_brand_id_collaboration_id"),
        ),
        sa.PrimaryKeyConstraint("brand_id", "id", name=op.f("pk_cost")),
        sa.UniqueConstraint("brand_id", "external_id", name=op.f("uq_cost_brand_id_external_id")),
    )
    op.create_index(op.f("ix_cost_brand_id_campaign_id"), "cost", ["brand_id", "campaign_id"], unique=False)
    op.create_index(op.f("ix_cost_brand_id_collaboration_id"), "cost", ["brand_id", "collaboration_id"], unique=False)
    op.create_index(op.f("ix_cost_brand_id_incurred_on"), "cost", ["brand_id", "incurred_on"], unique=False)
    op.create_table(
        "host",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_xid", TransactionId(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_host")),
    )
    op.create_index(op.f("ix_host_brand_id"), "host", ["brand_id"], unique=False)
    op.create_index(op.f("ix_host_changed_xid"), "host", ["changed_xid"], unique=False)
    op.create_table(
        "route",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("link_id", sa.Uuid(), nullable=False),
        sa.Column("destination_url", sa.Text(), nullable=False),
        sa.Column("click_param", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("changed_xid", TransactionId(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.PrimaryKeyConstraint("host", "slug", name=op.f("pk_route")),
    )
    op.create_index(op.f("ix_route_brand_id_link_id"), "route", ["brand_id", "link_id"], unique=False)
    op.create_index(op.f("ix_route_changed_xid"), "route", ["changed_xid"], unique=False)
    op.create_table(
        "api_key",
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("shop", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_xid", TransactionId(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.CheckConstraint("kind IN ('secret', 'publishable')", name=op.f("ck_api_key_kind")),
        sa.PrimaryKeyConstraint("key_hash", name=op.f("pk_api_key")),
        sa.UniqueConstraint("id", name=op.f("uq_api_key_id")),
    )
    op.create_index(op.f("ix_api_key_brand_id"), "api_key", ["brand_id"], unique=False)
    op.create_index(op.f("ix_api_key_changed_xid"), "api_key", ["changed_xid"], unique=False)
    op.create_table(
        "source",
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("shop", sa.Text(), server_default="main", nullable=False),
        sa.Column("secrets", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column(
            "settings", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_xid", TransactionId(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_source")),
        sa.UniqueConstraint("id", name=op.f("uq_source_id")),
    )
    op.create_index(op.f("ix_source_brand_id"), "source", ["brand_id"], unique=False)
    op.create_index(op.f("ix_source_changed_xid"), "source", ["changed_xid"], unique=False)
    op.create_table(
        "click",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("link_id", sa.Uuid(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("class", sa.SmallInteger(), nullable=False),
        sa.Column("visitor", sa.BigInteger(), nullable=True),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("device", sa.Text(), nullable=True),
        sa.Column("os", sa.Text(), nullable=True),
        sa.Column("browser", sa.Text(), nullable=True),
        sa.Column("in_app", sa.Text(), nullable=True),
        sa.Column("referrer_host", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("brand_id", "id", name=op.f("pk_click")),
        postgresql_partition_by="RANGE (id)",
    )
    op.create_table(
        "click_day",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("link_id", sa.Uuid(), nullable=False),
        sa.Column("clicks", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("bots", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("previews", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("prefetches", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("heads", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("unique_clicks", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("brand_id", "day", "link_id", name=op.f("pk_click_day")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "visit",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("link_id", sa.Uuid(), nullable=False),
        sa.Column("visitor", sa.BigInteger(), nullable=False),
        sa.Column("first_click_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("brand_id", "day", "link_id", "visitor", name=op.f("pk_visit")),
    )
    op.create_table(
        "missed_day",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("hits", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("reason IN ('unknown_slug', 'expired', 'disabled')", name=op.f("ck_missed_day_reason")),
        sa.PrimaryKeyConstraint("brand_id", "day", "host", "slug", "reason", name=op.f("pk_missed_day")),
    )
    op.create_table(
        "visitor_click",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("visitor_id", sa.Text(), nullable=False),
        sa.Column("click_id", sa.Uuid(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("brand_id", "visitor_id", "click_id", name=op.f("pk_visitor_click")),
    )
    op.create_index(op.f("ix_visitor_click_brand_id_click_id"), "visitor_click", ["brand_id", "click_id"], unique=False)
    op.create_table(
        "delivery",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin_id", sa.Uuid(), nullable=True),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("shop", sa.Text(), server_default="main", nullable=False),
        sa.Column("topic", sa.Text(), server_default="", nullable=False),
        sa.Column("external_id", sa.Text(), server_default="", nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "headers", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("conversion_id", sa.Uuid(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("brand_id", "id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("brand_id", "origin_id", "external_id", "body_hash", name="uq_delivery_once"),
    )
    op.create_index(op.f("ix_delivery_brand_id_conversion_id"), "delivery", ["brand_id", "conversion_id"], unique=False)
    op.create_index(op.f("ix_delivery_brand_id_status_id"), "delivery", ["brand_id", "status", "id"], unique=False)
    op.create_table(
        "conversion",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("root_id", sa.Uuid(), nullable=False),
        sa.Column("shop", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Text(), server_default="stub", nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("items_minor", sa.BigInteger(), nullable=True),
        sa.Column("discount_minor", sa.BigInteger(), nullable=True),
        sa.Column("tax_minor", sa.BigInteger(), nullable=True),
        sa.Column("shipping_minor", sa.BigInteger(), nullable=True),
        sa.Column("net_minor", sa.BigInteger(), nullable=True),
        sa.Column("refunded_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("codes", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("visitor_id", sa.Text(), nullable=True),
        sa.Column("customer_key", sa.Text(), nullable=True),
        sa.Column("customer_is_new", sa.Boolean(), nullable=True),
        sa.Column("test", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("flags", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('stub', 'pending', 'approved', 'locked', 'paid', 'rejected', 'unverified', 'merged')",
            name=op.f("ck_conversion_status"),
        ),
        sa.ForeignKeyConstraint(["brand_id"], ["brand.id"], name=op.f("fk_conversion_brand_id")),
        sa.PrimaryKeyConstraint("brand_id", "id", name=op.f("pk_conversion")),
    )
    op.create_index(op.f("ix_conversion_brand_id_root_id"), "conversion", ["brand_id", "root_id"], unique=False)
    op.create_index(
        "ix_conversion_customer",
        "conversion",
        ["brand_id", "customer_key"],
        unique=False,
        postgresql_where=sa.text("customer_key IS NOT NULL"),
    )
    op.create_index("ix_conversion_occurred", "conversion", ["brand_id", "occurred_at", "id"], unique=False)
    op.create_table(
        "order_ref",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("shop", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("conversion_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("brand_id", "shop", "kind", "ref", name=op.f("pk_order_ref")),
    )
    op.create_index(
        op.f("ix_order_ref_brand_id_conversion_id"), "order_ref", ["brand_id", "conversion_id"], unique=False
    )
    op.create_table(
        "order_touch",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("touch", sa.Text(), nullable=False),
        sa.Column("conversion_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("brand_id", "touch", "conversion_id", name=op.f("pk_order_touch")),
    )
    op.create_index(
        op.f("ix_order_touch_brand_id_conversion_id"), "order_touch", ["brand_id", "conversion_id"], unique=False
    )
    op.create_table(
        "witness",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("conversion_id", sa.Uuid(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("trust", sa.SmallInteger(), nullable=False),
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("origin_id", sa.Uuid(), nullable=True),
        sa.Column("delivery_id", sa.Uuid(), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("report", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["brand_id", "conversion_id"],
            ["conversion.brand_id", "conversion.id"],
            name=op.f("fk_witness_brand_id_conversion_id"),
        ),
        sa.PrimaryKeyConstraint("brand_id", "conversion_id", "content_hash", name=op.f("pk_witness")),
    )
    op.create_table(
        "adjustment",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("conversion_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("refund_id", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("trust", sa.SmallInteger(), nullable=False),
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "lines", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.CheckConstraint(
            "kind IN ('refund', 'cancellation', 'chargeback', 'reversal')", name=op.f("ck_adjustment_kind")
        ),
        sa.ForeignKeyConstraint(
            ["brand_id", "conversion_id"],
            ["conversion.brand_id", "conversion.id"],
            name=op.f("fk_adjustment_brand_id_conversion_id"),
        ),
        sa.PrimaryKeyConstraint(
            "brand_id", "conversion_id", "kind", "refund_id", "content_hash", name=op.f("pk_adjustment")
        ),
    )
    op.create_table(
        "decision",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("conversion_id", sa.Uuid(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "credits", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column(
            "candidates", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "verdict IN ('attributed', 'unattributed', 'pending_click')", name=op.f("ck_decision_verdict")
        ),
        sa.ForeignKeyConstraint(
            ["brand_id", "conversion_id"],
            ["conversion.brand_id", "conversion.id"],
            name=op.f("fk_decision_brand_id_conversion_id"),
        ),
        sa.PrimaryKeyConstraint("brand_id", "conversion_id", name=op.f("pk_decision")),
    )
    op.create_table(
        "credit",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("conversion_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("share", sa.SmallInteger(), nullable=False),
        sa.Column("collaboration_id", sa.Uuid(), nullable=True),
        sa.Column("campaign_id", sa.Uuid(), nullable=True),
        sa.Column("influencer_id", sa.Uuid(), nullable=True),
        sa.Column("link_id", sa.Uuid(), nullable=True),
        sa.Column("code_id", sa.Uuid(), nullable=True),
        sa.Column("method", sa.Text(), nullable=True),
        sa.Column("weight_bp", sa.Integer(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["brand_id", "conversion_id"],
            ["conversion.brand_id", "conversion.id"],
            name=op.f("fk_credit_brand_id_conversion_id"),
        ),
        sa.PrimaryKeyConstraint("brand_id", "conversion_id", "position", "share", name=op.f("pk_credit")),
    )
    op.create_index("ix_credit_collaboration", "credit", ["brand_id", "collaboration_id", "occurred_at"], unique=False)
    op.create_index("ix_credit_occurred", "credit", ["brand_id", "occurred_at"], unique=False)
    op.create_table(
        "idempotency",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("brand_id", "key_id", "key", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_brand_id_created_at"), "idempotency", ["brand_id", "created_at"], unique=False)
    op.create_table(
        "redecide",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("conversion_id", sa.Uuid(), nullable=False),
        sa.Column("after", TransactionId(), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redecide")),
    )
    op.create_index("ix_redecide_new", "redecide", ["id"], unique=False, postgresql_where=sa.text("after IS NULL"))
    op.create_table(
        "unique_pending",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("click_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("link_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("visitors", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unique_pending")),
    )
    op.create_table(
        "drain_state",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("drained_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_drain_state")),
    )


def downgrade() -> None:
    op.drop_table("drain_state")
    op.drop_table("unique_pending")
    op.drop_table("redecide")
    op.drop_table("idempotency")
    op.drop_table("credit")
    op.drop_table("decision")
    op.drop_table("adjustment")
    op.drop_table("witness")
    op.drop_table("order_touch")
    op.drop_table("order_ref")
    op.drop_table("conversion")
    op.drop_table("delivery")
    op.drop_table("visitor_click")
    op.drop_table("missed_day")
    op.drop_table("visit")
    op.drop_table("click_day")
    op.drop_table("click")
    op.drop_table("source")
    op.drop_table("api_key")
    op.drop_table("route")
    op.drop_table("host")
    op.drop_table("cost")
    op.drop_table("code_assignment")
    op.drop_table("code")
    op.drop_table("link")
    op.drop_table("collaboration")
    op.drop_table("policy")
    op.drop_table("campaign")
    op.drop_table("influencer")
    op.drop_table("brand")
