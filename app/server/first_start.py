"""The first start: create a first brand unless there is one, and print its keys and some examples. `serve` runs `python -m app.server.first_start`."""

import asyncio
import sys
from pathlib import Path
from string import Template

import asyncpg

from app.database.migrate import head, revision
from app.settings import Settings, read_settings

WAIT_S = 120.0
POLL_S = 0.05


def greeting(secret_key: str, publishable_key: str, base_url: str) -> str:
    """The keys, and three curl commands that end in a working link."""
    curl = f"curl -s -H 'Authorization: Bearer {secret_key}' -H 'Content-Type: application/json' {base_url}/v1"
    page = Template(Path(__file__).with_name("greeting.txt").read_text("utf-8"))
    return page.substitute(secret_key=secret_key, publishable_key=publishable_key, base_url=base_url, curl=curl)


async def welcome(settings: Settings) -> None:
    """Wait for the schema, create the first brand unless there is one, print its keys, and create the file `welcomed`."""
    async with asyncio.timeout(WAIT_S):
        connection = await _connect(settings.database_url)
        try:
            while (await revision(connection) or "") < head():  # noqa: ASYNC110  another process migrates
                await asyncio.sleep(POLL_S)
            # Imported late, because it imports the API.
            from app.server.brand_keys import issue_first_keys

            keys = await issue_first_keys(connection)
        finally:
            await connection.close()
    if keys is not None:
        sys.stdout.write(greeting(keys.secret_key, keys.publishable_key, settings.base_url))
        sys.stdout.flush()
    (settings.data / "welcomed").touch()


async def _connect(dsn: str) -> asyncpg.Connection:
    while True:
        try:
            return await asyncpg.connect(dsn, timeout=5)
        except (OSError, asyncpg.PostgresError):
            await asyncio.sleep(POLL_S)  # it is still starting


def main() -> None:
    """Run `welcome`; exit with 1 when the database did not come up in time, so that the next start tries again."""
    try:
        asyncio.run(welcome(read_settings()))
    except TimeoutError:
        sys.exit(
            "ariane: no keys were made, for want of a database: start again, or `ariane keys create` once it is there"
        )


if __name__ == "__main__":
    main()
