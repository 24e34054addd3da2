"""what shop systems call codes

Revision: 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "code_alias",
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("code_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["brand_id", "code_id"], ["code.brand_id", "code.id"], name=op.f("fk_code_alias_brand_id_code_id")
        ),
        sa.PrimaryKeyConstraint("brand_id", "alias", name=op.f("pk_code_alias")),
    )
    op.create_index(op.f("ix_code_alias_brand_id_code_id"), "code_alias", ["brand_id", "code_id"])


def downgrade() -> None:
    op.drop_table("code_alias")
