"""deliveries found by reason, source, platform, topic, shop and the sender's own id

Revision: 0007, after 0006.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

FILTERS = {
    "reason": "reason IS NOT NULL",
    "origin_id": None,
    "platform": None,
    "topic": None,
    "shop": None,
    "external_id": "external_id <> ''",
}


def upgrade() -> None:
    for name, condition in FILTERS.items():
        where = None if condition is None else sa.text(condition)
        op.create_index(f"ix_delivery_brand_id_{name}_id", "delivery", ["brand_id", name, "id"], postgresql_where=where)


def downgrade() -> None:
    for name in reversed(FILTERS):
        op.drop_index(f"ix_delivery_brand_id_{name}_id", table_name="delivery")
