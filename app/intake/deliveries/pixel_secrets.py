"""The secrets with which shops' servers sign pixels. They are looked up where hits are recorded, never at the door, which may not wait for it."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from uuid import UUID

from app.database.transactions import Connection
from app.intake.deliveries.messages import Message
from app.secret import UnsealError, unseal

PixelSecrets = Mapping[UUID, tuple[str, ...]]
"""By the id of their publishable key."""

SECRETS = "SELECT id, signing_secrets FROM api_key WHERE brand_id = $1 AND id = ANY($2::uuid[])"


async def read_pixel_secrets(
    connection: Connection, brand_id: UUID, messages: Sequence[Message], secret: str
) -> PixelSecrets:
    """The signing secrets of the publishable keys of hits that say they are signed; asks nothing where none does.

    One that cannot be decrypted does not hide the others.
    """
    keys = sorted({message.origin_id for message in messages if message.claims_signature and message.origin_id})
    found: dict[UUID, tuple[str, ...]] = {}
    for row in await connection.fetch(SECRETS, brand_id, keys) if keys else ():
        for sealed in row["signing_secrets"]:
            with suppress(UnsealError):
                found[row["id"]] = (*found.get(row["id"], ()), unseal(secret, sealed))
    return found
