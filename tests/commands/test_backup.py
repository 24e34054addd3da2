"""A backup is its owner's alone, and comes back into an empty database without a word of keys."""

import asyncio
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg

from tests.cast import create_brand
from tests.commands.commanding import command
from tests.conftest import database_dsn


async def test_a_backup_is_restored_into_an_empty_database_with_its_key(
    fresh_dsn: Callable[[], Awaitable[str]], tmp_path: Path
) -> None:
    dsn = await fresh_dsn()
    pool = await asyncpg.create_pool(dsn, min_size=0, max_size=1)
    brand = await create_brand(pool, "Alice")
    name = f"restored_{brand.id.hex}"
    await pool.execute(f"CREATE DATABASE {name}")
    empty = database_dsn(dsn, name)

    async def run(database: str, data: str, *arguments: str) -> tuple[int, str]:
        variables = {"DATABASE_URL": database, "ARIANE_DATA": str(tmp_path / data)}
        done = await asyncio.to_thread(command, *arguments, **variables)
        return done.returncode, done.stdout + done.stderr

    saved = tmp_path / "saved"
    status, told = await run(dsn, "here", "backup", str(saved))
    assert (status, str(saved / "ariane.dump") in told) == (0, True), told
    assert {stat.S_IMODE(path.stat().st_mode) for path in saved.iterdir()} == {0o600}
    assert stat.S_IMODE(saved.stat().st_mode) == 0o700
    status, told = await run(dsn, "there", "restore", str(saved))
    assert (status, "is not empty" in told) == (1, True), told
    status, told = await run(empty, "there", "restore", str(saved))
    assert (status, "restored" in told, "sk_" in told) == (0, True, False), told
    assert (tmp_path / "there/secret.key").read_text() == (tmp_path / "here/secret.key").read_text()
    assert (tmp_path / "there/welcomed").exists()
    restored = await asyncpg.connect(empty)
    assert await restored.fetchval("SELECT name FROM brand WHERE id = $1", brand.id) == "Alice"
    await restored.close()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/secret.key").write_text("o" * 43)
    status, told = await run(empty, "other", "restore", str(saved))
    assert (status, "is not the key of the backup" in told) == (1, True), told
    assert (await run(empty, "other", "restore", str(tmp_path)))[0] == 1
    await pool.close()
