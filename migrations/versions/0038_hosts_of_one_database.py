"""the secret key of a database, hosts that have left, and since when an order waits to be decided again

Revision: 0038, after 0032.
"""

from alembic import op

revision = "0038"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""CREATE TABLE installation (
        singleton boolean NOT NULL DEFAULT true CONSTRAINT ck_installation_singleton CHECK (singleton),
        key_fingerprint text NOT NULL,
        recorded_at timestamptz NOT NULL,
        CONSTRAINT pk_installation PRIMARY KEY (singleton))""")
    op.execute("ALTER TABLE drain_state ADD COLUMN left_at timestamptz")
    # With a default, because the previous release goes on queueing beside this one.
    op.execute("ALTER TABLE redecide ADD COLUMN queued_at timestamptz NOT NULL DEFAULT now()")


def downgrade() -> None:
    op.execute("ALTER TABLE redecide DROP COLUMN queued_at")
    op.execute("ALTER TABLE drain_state DROP COLUMN left_at")
    op.execute("DROP TABLE installation")
