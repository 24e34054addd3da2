"""three indexes that no statement reads, and every new order wrote

Revision: 0009, after 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_order_ref_brand_id_conversion_id", table_name="order_ref")
    op.drop_index("ix_order_touch_brand_id_conversion_id", table_name="order_touch")
    op.drop_index("ix_conversion_customer", table_name="conversion")


def downgrade() -> None:
    op.create_index(
        "ix_conversion_customer",
        "conversion",
        ["brand_id", "customer_key"],
        postgresql_where=sa.text("customer_key IS NOT NULL"),
    )
    op.create_index("ix_order_touch_brand_id_conversion_id", "order_touch", ["brand_id", "conversion_id"])
    op.create_index("ix_order_ref_brand_id_conversion_id", "order_ref", ["brand_id", "conversion_id"])
