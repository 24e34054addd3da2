"""what people decide of orders, by how much witnesses may differ, and what a refund's amount is told in

Revision: 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "status_change",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("conversion_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("was", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'approved', 'rejected', 'locked', 'paid')", name=op.f("ck_status_change_status")
        ),
        sa.ForeignKeyConstraint(
            ["brand_id", "conversion_id"],
            ["conversion.brand_id", "conversion.id"],
            name=op.f("fk_status_change_brand_id"),
        ),
        sa.PrimaryKeyConstraint("brand_id", "conversion_id", "id", name=op.f("pk_status_change")),
    )
    op.add_column("conversion", sa.Column("status_reason", sa.Text(), nullable=True))
    op.add_column("conversion", sa.Column("locked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("conversion", sa.Column("locks_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_conversion_locks",
        "conversion",
        ["brand_id", "locks_at"],
        postgresql_where=sa.text("locks_at IS NOT NULL"),
    )
    op.add_column("adjustment", sa.Column("by_lines", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("adjustment", sa.Column("reverses", sa.Text(), nullable=True))
    op.add_column("brand", sa.Column("witness_tolerance_bp", sa.Integer(), server_default="100", nullable=False))
    op.add_column("brand", sa.Column("witness_tolerance_minor", sa.BigInteger(), server_default="1", nullable=False))
    # Deciding an order again works out when it will be locked.
    op.execute(
        "/* across brands: a migration */ INSERT INTO redecide (brand_id, conversion_id, after)"
        " SELECT brand_id, id, '0' FROM conversion WHERE root_id = id AND status = 'approved'"
    )


def downgrade() -> None:
    op.drop_column("brand", "witness_tolerance_minor")
    op.drop_column("brand", "witness_tolerance_bp")
    op.drop_column("adjustment", "reverses")
    op.drop_column("adjustment", "by_lines")
    op.drop_index("ix_conversion_locks", table_name="conversion")
    op.drop_column("conversion", "locks_at")
    op.drop_column("conversion", "locked_at")
    op.drop_column("conversion", "status_reason")
    op.drop_table("status_change")
