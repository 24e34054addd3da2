"""click ids waiting for the count of unique visitors are stored as they are: random numbers do not compress

Revision: 0010, after 0009.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

COLUMNS = ("click_ids", "link_ids", "visitors")


def upgrade() -> None:
    for column in COLUMNS:
        op.execute(f"ALTER TABLE unique_pending ALTER COLUMN {column} SET STORAGE EXTERNAL")


def downgrade() -> None:
    for column in COLUMNS:
        op.execute(f"ALTER TABLE unique_pending ALTER COLUMN {column} SET STORAGE EXTENDED")
