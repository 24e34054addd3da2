"""the credit of a locked order is a fact

Revision: 0015, after 0014.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# The decisions of orders that are locked already stay what they are.
KEEP = """/* across brands: every locked order */
UPDATE status_change s SET decided = (to_jsonb(d) - '{brand_id,conversion_id,decided_at,now}'::text[])::text
FROM conversion c, decision d
WHERE s.status IN ('locked', 'paid') AND c.brand_id = s.brand_id AND c.id = s.conversion_id
    AND d.brand_id = c.brand_id AND d.conversion_id = c.root_id
"""


def upgrade() -> None:
    op.execute("ALTER TABLE status_change ADD COLUMN decided text")
    op.execute("ALTER TABLE decision ADD COLUMN now jsonb")
    op.execute(KEEP)


def downgrade() -> None:
    op.execute("ALTER TABLE decision DROP COLUMN now")
    op.execute("ALTER TABLE status_change DROP COLUMN decided")
