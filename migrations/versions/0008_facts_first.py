"""the facts of a new order are added before its row, which is then written once

Revision: 0008, after 0007.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

FACTS = ("witness", "adjustment")


def upgrade() -> None:
    for table in FACTS:
        op.execute(
            f"ALTER TABLE {table} ALTER CONSTRAINT fk_{table}_brand_id_conversion_id DEFERRABLE INITIALLY DEFERRED"
        )


def downgrade() -> None:
    for table in reversed(FACTS):
        op.execute(f"ALTER TABLE {table} ALTER CONSTRAINT fk_{table}_brand_id_conversion_id NOT DEFERRABLE")
