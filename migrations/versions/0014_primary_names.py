"""orders are told apart by the names that their shop system gives them

Revision: 0014, after 0013.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE conversion ADD COLUMN primary_ref text, ADD COLUMN taken_apart boolean NOT NULL DEFAULT false"
    )
    op.execute("ALTER TABLE adjustment ADD COLUMN refs text[] NOT NULL DEFAULT '{}'")
    op.execute("ALTER TABLE order_ref ALTER COLUMN conversion_id DROP NOT NULL")


def downgrade() -> None:
    # An ambiguous name leads nowhere; the release before gives it to the next order that names it.
    op.execute("/* across brands: names that lead to no order */ DELETE FROM order_ref WHERE conversion_id IS NULL")
    op.execute("ALTER TABLE order_ref ALTER COLUMN conversion_id SET NOT NULL")
    op.execute("ALTER TABLE adjustment DROP COLUMN refs")
    op.execute("ALTER TABLE conversion DROP COLUMN primary_ref, DROP COLUMN taken_apart")
