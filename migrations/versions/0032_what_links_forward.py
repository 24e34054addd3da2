"""what links forward, whose own clicks are left out, and where a host sends its lost visitors

Revision: 0032, after 0030.
"""

from alembic import op

revision = "0032"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE brand ADD COLUMN forward_query text NOT NULL DEFAULT 'link_wins', ADD COLUMN own_networks text[] NOT NULL DEFAULT '{}'"
    )
    op.execute(
        "ALTER TABLE brand ADD CONSTRAINT ck_brand_forward_query CHECK (forward_query IN ('link_wins', 'incoming_wins', 'nothing'))"
    )
    op.execute("ALTER TABLE link ADD COLUMN forward_query text")
    op.execute("ALTER TABLE route ADD COLUMN forward_query text")
    op.execute("ALTER TABLE host ADD COLUMN pages jsonb NOT NULL DEFAULT '{}'")
    op.execute(
        "CREATE TABLE door_rule (brand_id uuid NOT NULL, forward_query text NOT NULL, own_networks text[] NOT NULL,"
        " changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id(), CONSTRAINT pk_door_rule PRIMARY KEY (brand_id))"
    )
    op.execute("CREATE INDEX ix_door_rule_changed_xid ON door_rule (changed_xid)")


def downgrade() -> None:
    op.execute("DROP TABLE door_rule")
    op.execute("ALTER TABLE host DROP COLUMN pages")
    op.execute("ALTER TABLE route DROP COLUMN forward_query")
    op.execute("ALTER TABLE link DROP COLUMN forward_query")
    op.execute("ALTER TABLE brand DROP COLUMN own_networks, DROP COLUMN forward_query")
