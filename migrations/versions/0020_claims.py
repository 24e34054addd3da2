"""what unsigned reports claim by number alone is counted

Revision: 0020, after 0019.
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE conversion ADD COLUMN claims text[] NOT NULL DEFAULT '{}', ADD COLUMN claims_withheld text[] NOT NULL DEFAULT '{}'"
    )
    op.execute("CREATE INDEX ix_conversion_claims ON conversion (brand_id, occurred_at) WHERE claims <> '{}'")


def downgrade() -> None:
    op.execute("ALTER TABLE conversion DROP COLUMN claims, DROP COLUMN claims_withheld")
