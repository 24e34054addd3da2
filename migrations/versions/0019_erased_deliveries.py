"""messages whose content was erased are marked

Revision: 0019, after 0018.
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE delivery ADD COLUMN erased_at timestamptz")


def downgrade() -> None:
    op.execute("ALTER TABLE delivery DROP COLUMN erased_at")
