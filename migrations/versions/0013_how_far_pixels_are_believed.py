"""brands say how far unsigned pixels are believed

Revision: 0013, after 0012.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ADD = """
ALTER TABLE brand ADD COLUMN pixel_signals text NOT NULL DEFAULT 'normal', ADD COLUMN pixel_window_minutes integer NOT NULL DEFAULT 60,
    ADD COLUMN pixel_claims_max integer NOT NULL DEFAULT 20, ADD COLUMN pixel_amount_max_minor bigint,
    ADD CONSTRAINT ck_brand_pixel_signals CHECK (pixel_signals IN ('normal', 'signed_only', 'never'))
"""
DROP = """
ALTER TABLE brand DROP COLUMN pixel_signals, DROP COLUMN pixel_window_minutes, DROP COLUMN pixel_claims_max, DROP COLUMN pixel_amount_max_minor
"""


def upgrade() -> None:
    op.execute(ADD)


def downgrade() -> None:
    op.execute(DROP)
