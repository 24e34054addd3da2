"""what stands in the place of a code is compared as codes are, codes in any alphabet are, and leads redeem none

Revision: 0028, after 0025.
"""

import sqlalchemy as sa
from alembic import op

from app.domain.codes import normalise

revision = "0028"
down_revision = "0025"
branch_labels = None
depends_on = None

# Codes of the release before have Latin letters alone, which fold as they did: none of them changes, so no two of them have become one
# (tests/domain/test_codes.py). What orders named may be in any alphabet: it is found under its new form from now on.
NAMED = """/* across brands: every order that names a code in other letters than ASCII */
SELECT DISTINCT w.brand_id, w.conversion_id, named.code
FROM witness w CROSS JOIN jsonb_array_elements_text(w.report -> 'codes') AS named(code)
WHERE octet_length(named.code) <> char_length(named.code)
"""
TOUCH = """
INSERT INTO order_touch (brand_id, touch, conversion_id) VALUES (:brand_id, :touch, :conversion_id) ON CONFLICT DO NOTHING
"""
LEADS = """/* across brands: what nobody pays for, which redeems no code and needs no amount */
INSERT INTO redecide (brand_id, conversion_id, after) SELECT brand_id, id, '0' FROM conversion
WHERE kind IN ('lead', 'signup', 'install') AND id = root_id AND (flags && '{amount_unknown,over_cap}' OR codes <> '{}')
"""
AGAIN = "INSERT INTO redecide (brand_id, conversion_id, after) VALUES (:brand_id, :conversion_id, '0')"


def upgrade() -> None:
    op.execute("ALTER TABLE code_alias ADD COLUMN alias_norm text NOT NULL DEFAULT ''")
    connection = op.get_bind()
    aliases = connection.execute(sa.text("/* across brands: all of them */ SELECT DISTINCT alias FROM code_alias"))
    for alias in aliases.scalars().all():
        fill = "/* across brands: the form of an alias */ UPDATE code_alias SET alias_norm = :norm WHERE alias = :alias"
        connection.execute(sa.text(fill), {"alias": alias, "norm": normalise(alias)})
    op.execute("CREATE INDEX ix_code_alias_brand_id_alias_norm ON code_alias (brand_id, alias_norm)")
    orders = set()
    for brand_id, conversion_id, code in connection.execute(sa.text(NAMED)).all():
        if folded := normalise(code):
            row = {"brand_id": brand_id, "conversion_id": conversion_id}
            connection.execute(sa.text(TOUCH), {**row, "touch": f"code:{folded}"})
            orders.add((brand_id, conversion_id))
    for brand_id, conversion_id in sorted(orders):
        connection.execute(sa.text(AGAIN), {"brand_id": brand_id, "conversion_id": conversion_id})
    op.execute(LEADS)


def downgrade() -> None:
    op.execute("ALTER TABLE code_alias DROP COLUMN alias_norm")
