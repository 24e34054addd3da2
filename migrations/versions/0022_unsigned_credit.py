"""a share of an order knows whether only unsigned reports name what it is given for

Revision: 0022, after 0021.
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

# As near as what is stored tells; each order says it exactly when it is next worked out.
FILL = """/* across brands: every order that rests on a pixel's word */
UPDATE credit r SET unsigned = true FROM conversion c
WHERE c.brand_id = r.brand_id AND c.id = r.conversion_id AND 'unsigned' = ANY(c.flags) AND r.collaboration_id IS NOT NULL
"""


def upgrade() -> None:
    op.execute("ALTER TABLE credit ADD COLUMN unsigned boolean NOT NULL DEFAULT false")
    op.execute(FILL)


def downgrade() -> None:
    op.execute("ALTER TABLE credit DROP COLUMN unsigned")
