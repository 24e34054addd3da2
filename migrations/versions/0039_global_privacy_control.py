"""what a brand's links do for a browser that sends Sec-GPC

Revision: 0039, after 0038.
"""

from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE brand ADD COLUMN gpc text NOT NULL DEFAULT 'respect'")
    op.execute("ALTER TABLE brand ADD CONSTRAINT ck_brand_gpc CHECK (gpc IN ('respect', 'click_id_only'))")
    op.execute("ALTER TABLE door_rule ADD COLUMN gpc text NOT NULL DEFAULT 'respect'")


def downgrade() -> None:
    op.execute("ALTER TABLE door_rule DROP COLUMN gpc")
    op.execute("ALTER TABLE brand DROP COLUMN gpc")
