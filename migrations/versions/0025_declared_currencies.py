"""a brand declares currencies that ISO 4217 does not list, with their decimals

Revision: 0025, after 0022.
"""

from alembic import op

revision = "0025"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE brand ADD COLUMN currencies jsonb NOT NULL DEFAULT '{}'")


def downgrade() -> None:
    op.execute("ALTER TABLE brand DROP COLUMN currencies")
