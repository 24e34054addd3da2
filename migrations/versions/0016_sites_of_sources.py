"""the site that a source is bound to, and the shop of a secret key

Revision: 0016, after 0015.
"""

import re

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# Whatever reports orders with such a key and names no shop has meant this one.
KEYS = """
UPDATE api_key SET shop = 'main' WHERE kind = 'secret' AND shop IS NULL AND scopes && ARRAY['conversions', 'write', 'admin']
"""
SOURCES = "SELECT brand_id, id FROM source WHERE platform IN ('shopify', 'woocommerce') AND site IS NULL"
# What a shop that is connected named last: one that is archived sends nothing any more that could bind it. Trials named a shop that there is not.
NAMED = sa.text("""
SELECT coalesce(headers ->> 'x-shopify-shop-domain', headers ->> 'shopify-shop-domain', headers ->> 'x-wc-webhook-source')
FROM delivery WHERE brand_id = :brand_id AND origin_id = :id AND status = 'recorded' AND headers::text NOT LIKE '%rehearsal.%'
ORDER BY id DESC LIMIT 1
""")
BIND = sa.text(
    "UPDATE source SET site = :site, changed_xid = pg_current_xact_id() WHERE brand_id = :brand_id AND id = :id"
)
# As app/domain/sites.py writes it today.
SITE = re.compile(r"(?:https?://)?(?:www\.)?([\w.-]+)(:\d{1,5})?((?:/[^\s?#]*)?)", re.IGNORECASE)


def upgrade() -> None:
    op.execute("ALTER TABLE source ADD COLUMN site text")
    op.execute(KEYS)
    connection = op.get_bind()
    for brand_id, source_id in connection.execute(sa.text(SOURCES)).all():
        named = connection.execute(NAMED, {"brand_id": brand_id, "id": source_id}).scalar()
        found = SITE.fullmatch((named or "").strip())
        if found is not None:
            port = "" if found[2] in (None, ":80", ":443") else found[2]
            site = f"{found[1].lower()}{port}{found[3].rstrip('/')}"
            connection.execute(BIND, {"brand_id": brand_id, "id": source_id, "site": site})


def downgrade() -> None:
    op.execute("ALTER TABLE source DROP COLUMN site")
    op.execute("UPDATE api_key SET shop = NULL WHERE kind = 'secret'")
