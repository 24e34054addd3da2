"""an order is known to be bought by the influencer who gets it

Revision: 0029, after 0028.
"""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The background process works the keys out (app/jobs/influencer_keys.py): they need the secret key.
    op.execute("ALTER TABLE influencer ADD COLUMN customer_id text, ADD COLUMN customer_keys text[]")


def downgrade() -> None:
    op.execute("ALTER TABLE influencer DROP COLUMN customer_id, DROP COLUMN customer_keys")
