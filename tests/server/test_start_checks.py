"""A host that must not serve from its database says why in one sentence."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from app import random_ids
from app.database.migrate import is_newer
from app.secret import seal
from app.server.checked import note_checked, was_checked
from app.server.start_checks import StartRefused, accept_key, check_database, check_key
from app.settings import Settings, read_settings
from tests.cast import create_brand
from tests.conftest import database_dsn
from tests.server.test_background import at_work

KEY, OTHER = "s" * 43, "t" * 43
FreshDsn = Callable[[], Awaitable[str]]


def settings_of(dsn: str, data: Path, key: str = KEY) -> Settings:
    return read_settings({}, database_url=dsn, data=data, secret_key=key)


async def test_the_first_host_gives_the_key_and_a_host_with_another_refuses_to_start(
    fresh_dsn: FreshDsn, tmp_path: Path
) -> None:
    dsn = await fresh_dsn()
    first, second = settings_of(dsn, tmp_path / "a"), settings_of(dsn, tmp_path / "b", OTHER)
    first.data.mkdir()
    async with at_work(first) as subject:
        await subject.ready.wait()
        assert subject.refused is None
    assert was_checked(first, KEY)
    assert not was_checked(first, OTHER)
    assert was_checked(second, OTHER) is None
    async with at_work(second) as subject:
        await subject.stopping.wait()
        assert not subject.ready.is_set()
    assert subject.refused is not None
    told = str(subject.refused)
    assert (
        f"copy secret.key from the data directory of another host, or from the backup, to {tmp_path}/b/secret.key"
        in told
    )
    assert KEY not in told
    with pytest.raises(StartRefused, match=r"copy secret\.key"):
        await check_database(second, OTHER)
    await check_database(first, KEY)
    connection = await asyncpg.connect(dsn)
    assert KEY not in str(await connection.fetchval("SELECT key_fingerprint FROM installation"))
    await accept_key(connection, OTHER)
    await check_key(connection, second, OTHER)
    await connection.close()


async def test_after_an_upgrade_the_key_is_the_one_that_opens_what_is_stored(
    fresh_dsn: FreshDsn, tmp_path: Path
) -> None:
    dsn = await fresh_dsn()
    connection = await asyncpg.connect(dsn)
    brand = await create_brand(connection, "Alice")  # type: ignore[arg-type]
    await connection.execute(
        "INSERT INTO source (token, brand_id, id, name, platform, shop, secrets, created_at, updated_at) "
        "VALUES ('t', $1, $2, 'Shop', 'generic', 'main', $3, now(), now())",
        brand.id,
        random_ids.new_id(),
        [seal(KEY, "secret")],
    )
    with pytest.raises(StartRefused):
        await check_key(connection, settings_of(dsn, tmp_path, OTHER), OTHER)
    await check_key(connection, settings_of(dsn, tmp_path), KEY)
    await connection.close()


async def test_a_database_that_is_not_ones_own_newer_or_half_restored_is_refused_in_a_sentence(
    server: str, fresh_dsn: FreshDsn, tmp_path: Path
) -> None:
    dsn = await fresh_dsn()
    mine = settings_of(dsn, tmp_path)
    connection = await asyncpg.connect(dsn)
    role = f"guest_{random_ids.new_id().hex[:8]}"
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StartRefused, match="schema 9999 of a newer release"):
        await check_database(mine, KEY)
    # Beside a newer release that brought the database up to date, this one goes on.
    assert is_newer("9999")
    assert not is_newer("3f2a1b")
    await connection.execute("DROP TABLE alembic_version")
    with pytest.raises(StartRefused, match="restored in part"):
        await check_database(mine, KEY)
    postgres = await asyncpg.connect(server.replace("ariane@", "postgres@").replace("user=ariane", "user=postgres"))
    await postgres.execute(f"CREATE ROLE {role} LOGIN")
    await postgres.close()
    guest = settings_of(dsn.replace("ariane@", f"{role}@"), tmp_path)
    with pytest.raises(StartRefused, match=f"belongs to ariane, not to {role}"):
        await check_database(guest, KEY)
    await connection.execute(f"CREATE DATABASE {role}")
    empty = settings_of(database_dsn(dsn.replace("ariane@", f"{role}@"), role), tmp_path)
    with pytest.raises(StartRefused, match="may not create tables"):
        await check_database(empty, KEY)
    await connection.close()


async def test_a_database_that_is_away_is_waited_for(tmp_path: Path) -> None:
    await check_database(settings_of("postgresql://nobody@127.0.0.1:1/none", tmp_path), KEY)
    tmp_path.joinpath("checked").unlink(missing_ok=True)
    note_checked(settings_of("postgresql://a@b/c", tmp_path), KEY)
    assert not was_checked(settings_of("postgresql://a@b/d", tmp_path), KEY)
