"""the newest deliveries of a source, by status

Revision: 0004, after 0003.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_delivery_source", "delivery", ["brand_id", "origin_id", "status", "id"])


def downgrade() -> None:
    op.drop_index("ix_delivery_source", "delivery")
