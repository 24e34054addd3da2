"""adjustments are stored as witnesses are, one JSON report beside the columns of its receipt; orders have an origin

The columns that a report replaces stay for the release before, which writes and reads them while it runs beside this one.

Revision: 0012, after 0011.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

MOVE = """/* across brands: every stored adjustment gets its report */
UPDATE adjustment SET report = jsonb_strip_nulls(jsonb_build_object(
    'refund_id', refund_id,
    'kind', nullif(kind, 'refund'),
    'amount_minor', amount_minor,
    'full', CASE WHEN amount_minor IS NULL AND NOT by_lines THEN true END,
    'currency', currency,
    'occurred_at', occurred_at,
    'version', nullif(version, 0),
    'lines', nullif(lines, '[]'),
    'of_total', nullif(of_total, false),
    'cumulative', nullif(cumulative, false),
    'part_of', part_of,
    'by_lines', nullif(by_lines, false),
    'reverses', reverses
))
"""


def upgrade() -> None:
    op.execute("ALTER TABLE adjustment ADD COLUMN origin_id uuid, ADD COLUMN report jsonb")
    op.execute("SET LOCAL timezone = 'UTC'")
    op.execute(MOVE)
    op.execute("ALTER TABLE conversion ADD COLUMN origin text NOT NULL DEFAULT 'unknown'")


def downgrade() -> None:
    op.execute("ALTER TABLE conversion DROP COLUMN origin")
    op.execute("ALTER TABLE adjustment DROP COLUMN report, DROP COLUMN origin_id")
