"""refunds as parts of what was paid in all, and sums of refunds

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("of_total", "cumulative"):
        op.add_column("adjustment", sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("adjustment", sa.Column("part_of", sa.Text(), nullable=True))


def downgrade() -> None:
    for name in ("part_of", "cumulative", "of_total"):
        op.drop_column("adjustment", name)
