"""what is kept of a message has no data of the shopper

Revision: 0018, after 0017.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # What is stored already is blotted by a job.
    op.execute("ALTER TABLE delivery ADD COLUMN blotted boolean NOT NULL DEFAULT false")
    op.execute(
        "CREATE INDEX ix_delivery_to_blot ON delivery (brand_id, id) WHERE NOT blotted AND status IN ('recorded', 'ignored')"
    )
    op.execute("ALTER TABLE delivery ADD COLUMN verified_at timestamptz, ADD COLUMN verified_by text")


def downgrade() -> None:
    op.execute("DROP INDEX ix_delivery_to_blot")
    op.execute("ALTER TABLE delivery DROP COLUMN blotted, DROP COLUMN verified_at, DROP COLUMN verified_by")
