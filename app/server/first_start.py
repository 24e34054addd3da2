"""The first start: create a first brand unless there is one, and show its keys and some examples. `serve` runs `python -m app.server.first_start`."""

import asyncio
import os
import sys
from pathlib import Path
from string import Template

import asyncpg

from app.database.migrate import head, revision
from app.settings import Settings, read_settings

WAIT_S = 120.0
POLL_S = 0.05
KEYS_FILE = "first-keys.txt"


def greeting(secret_key: str, publishable_key: str, base_url: str) -> str:
    """The keys, and three curl commands that end in a working link."""
    curl = f"curl -s -H 'Authorization: Bearer {secret_key}' -H 'Content-Type: application/json' {base_url}/v1"
    page = Template(Path(__file__).with_name("greeting.txt").read_text("utf-8"))
    return page.substitute(secret_key=secret_key, publishable_key=publishable_key, base_url=base_url, curl=curl)


async def welcome(settings: Settings) -> None:
    """Wait for the schema, create the first brand unless there is one, show its keys, and create the file `welcomed`.

    They are printed on a terminal. Elsewhere, where a log may be kept and read by many, they go to a file of mode 0600: its path is the last line.
    """
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
        text = greeting(keys.secret_key, keys.publishable_key, settings.base_url)
        if not sys.stdout.isatty():
            path = _store(settings.data, text)
            text = f"A first brand is ready. Its keys are in this file; read it, and delete it:\n{path}\n"
        sys.stdout.write(text)
        sys.stdout.flush()
    (settings.data / "welcomed").touch()


def _store(data: Path, text: str) -> Path:
    """Write the greeting for the owner's eyes only; on the disk on return, because the keys are shown this once."""
    path = data.absolute() / KEYS_FILE
    path.unlink(missing_ok=True)  # of a database that is gone; its mode may be another
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text.lstrip())
        file.flush()
        os.fsync(file.fileno())
    return path


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
