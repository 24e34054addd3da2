"""`ariane backup` and `ariane restore`: the database and the secret key, out of the service's machine and back."""

import os
import subprocess
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.database import Data
from app.errors import AppError, Conflict
from app.settings import Settings, read_settings

if TYPE_CHECKING:
    from app.database.embedded import Programs

DUMP = "ariane.dump"
KEY = "secret.key"
NEWER_SETTING = b"SET transaction_timeout"
"""Begins a line of a dump that PostgreSQL 15 and 16 do not know."""
OWN_TABLES = "SELECT to_regclass('brand') IS NOT NULL"

Directory = Annotated[Path, typer.Argument(help="Outside of the data directory and of any work tree.")]


def backup(directory: Directory, data: Data = None) -> None:
    """Write a dump of the database and the secret key into a directory, readable by its owner alone. The service may go on meanwhile."""
    from app.database.embedded import Programs, find_programs
    from app.secret import load_secret

    settings = read_settings(data=data)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in ((DUMP, ""), (KEY, f"{load_secret(settings)}\n")):
            path = directory / name
            path.unlink(missing_ok=True)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(content)
    except OSError as error:
        raise AppError(f"{error.filename or directory}: {error.strerror}") from None
    with _database(settings) as dsn:
        programs = Programs(find_programs(settings.pg_bin))
        _wait(_start(programs, "pg_dump", "--format=custom", f"--file={directory / DUMP}", dsn))
    print(f"{directory / DUMP} and {directory / KEY}: keep them apart, the key opens the shops' secrets in the dump")


def restore(directory: Directory, data: Data = None) -> None:
    """Bring a backup into an empty database, with the service stopped: a new data directory, or the database of DATABASE_URL."""
    import asyncio

    import asyncpg

    from app.database.embedded import Programs, find_programs
    from app.database.migrate import migrate

    settings = read_settings(data=data)
    if not (directory / DUMP).is_file():
        raise AppError(f"{directory / DUMP} is not there: name the directory of a backup")
    _put_key(directory / KEY, settings)

    async def is_used(dsn: str) -> bool:
        connection = await asyncpg.connect(dsn)
        try:
            return bool(await connection.fetchval(OWN_TABLES))
        finally:
            await connection.close()

    with _database(settings) as dsn:
        if asyncio.run(is_used(dsn)):
            raise Conflict(
                "the database is not empty: restore into a new data directory, or name an empty database in DATABASE_URL"
            )
        programs = Programs(find_programs(settings.pg_bin))
        _read(programs, directory / DUMP, dsn)
        migrate(dsn)
    # Its brands have their keys, and what the doors knew is of another database.
    (settings.data / "welcomed").touch()
    (settings.data / "directory.snapshot").unlink(missing_ok=True)
    print(f"restored; `ariane serve` goes on from it, with its data in {settings.data}")


def _put_key(saved: Path, settings: Settings) -> None:
    """Put the saved key into the data directory, unless there is one or it is set. Raises Conflict when that is another one."""
    from app.secret import load_secret

    if not saved.is_file():
        return
    settings.data.mkdir(mode=0o711, parents=True, exist_ok=True)
    place = settings.data / KEY
    if not settings.secret_key and not place.exists():
        with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(saved.read_text())
    if load_secret(settings) != saved.read_text().strip():
        raise Conflict(
            f"{place if not settings.secret_key else 'ARIANE_SECRET_KEY'} is not the key of the backup, {saved}: put that there"
        )


def _database(settings: Settings) -> AbstractContextManager[str]:
    from app.database.embedded import reach

    return nullcontext(settings.database_url) if settings.database_url else reach(settings.data, settings.pg_bin)


def _read(programs: "Programs", dump: Path, dsn: str) -> None:
    """Restore a dump in one transaction; one of a newer PostgreSQL too, as far as its statements are known here."""
    with _start(programs, "pg_restore", "--no-owner", "--file=-", str(dump), stdout=subprocess.PIPE) as source:
        quiet = ("--quiet", "--no-psqlrc", "--output=/dev/null", "--single-transaction", "--set=ON_ERROR_STOP=1")
        with _start(programs, "psql", *quiet, dsn, stdin=subprocess.PIPE) as target:
            assert source.stdout is not None
            assert target.stdin is not None
            try:
                for line in source.stdout:
                    if not line.startswith(NEWER_SETTING):
                        target.stdin.write(line)
                target.stdin.close()
            except BrokenPipeError:
                source.kill()
            _wait(target)
        _wait(source)


def _start(
    programs: "Programs", name: str, *arguments: str, stdin: int | None = None, stdout: int | None = None
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([programs.bin / name, *arguments], stdin=stdin, stdout=stdout)  # noqa: S603  our own programs


def _wait(process: "subprocess.Popen[bytes]") -> None:
    if process.wait() != 0:
        raise AppError("PostgreSQL's program says above what is wrong; programs of another version are named by PG_BIN")
