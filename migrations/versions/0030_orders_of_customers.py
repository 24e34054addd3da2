"""the orders of a customer are found

Revision: 0030, after 0029.
"""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX ix_conversion_customer ON conversion (brand_id, customer_key, occurred_at) WHERE customer_key IS NOT NULL"
    )


def downgrade() -> None:
    op.execute("DROP INDEX ix_conversion_customer")
