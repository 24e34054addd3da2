"""`ariane hosts` and `ariane adopt`: the machines that share one database, and what a lost one left behind."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from app import clock
from app.commands.database import Data, reached
from app.commands.output import AsJson, print_json, print_table
from app.errors import AppError, Conflict, NotFound
from app.settings import Settings, read_settings

if TYPE_CHECKING:
    import asyncpg

app = typer.Typer(no_args_is_help=True)

MOMENT = "%Y-%m-%dT%H:%M:%SZ"
T = TypeVar("T")


@app.command("list")
def list_hosts(as_json: AsJson = False, data: Data = None) -> None:
    """List the machines that have drained into this database: until when, and whether each runs, has stopped in order or is silent."""
    from app.intake.hosts import list_hosts as find

    found = _ask(read_settings(data=data), find)
    now = clock.now()
    rows = [
        {
            "host": each.name,
            "state": each.state(now),
            "drained_until": f"{each.drained_until:{MOMENT}}",
            "last_seen": f"{each.updated_at:{MOMENT}}",
        }
        for each in found
    ]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows], cut=())
    else:
        print("no machine has drained into this database yet")


@app.command("forget")
def forget_host(
    name: Annotated[str, typer.Argument(help="As `ariane hosts list` shows it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: Data = None,
) -> None:
    """Let a lost machine hold back no report any more. What its spool still holds is then missing: `ariane adopt` brings it in, where the spool is there."""
    from app.intake.hosts import find_host, forget

    settings = read_settings(data=data)
    host = _ask(settings, lambda connection: find_host(connection, name))
    if host.state(clock.now()) == "running":
        raise Conflict(f"{name} is running: stop it first")
    asked = f"What {name} received after {host.drained_until:{MOMENT}} and did not drain is missing from then on. Forget it?"
    if not yes and not (sys.stdin.isatty() and typer.confirm(asked, err=True)):
        raise AppError("nothing was forgotten; say --yes")
    _ask(settings, lambda connection: forget(connection, name))
    print(f"forgot {name}")


@app.command("rekey")
def accept_key(
    yes: Annotated[bool, typer.Option("--yes", help="The old key is lost for good.")] = False, data: Data = None
) -> None:
    """Make this machine's secret key the database's, after the old one was lost. Secrets of sources must then be typed in again."""
    from app.secret import load_secret
    from app.server.start_checks import accept_key as accept

    if not yes:
        raise AppError("nothing was changed: what the old key encrypted cannot be read any more; say --yes")
    settings = read_settings(data=data)
    secret = load_secret(settings)
    _ask(settings, lambda connection: accept(connection, secret))
    print("this machine's secret key is the database's; copy it to every other host")


def adopt(
    directory: Annotated[Path, typer.Argument(help="The lost machine's data directory, or its spool.")],
    data: Data = None,
) -> None:
    """Take over the spool of a lost machine: its clicks and orders are recorded here, and it is forgotten."""
    from app.intake.drain import spool_name
    from app.intake.hosts import forget, note_waiting
    from app.spool.adoption import adopt as take_over

    settings = read_settings(data=data)
    lost = directory / "spool" if (directory / "spool").is_dir() else directory
    ours = settings.data / "spool"
    if not (lost / "name").is_file():
        raise NotFound(f"{lost} is no spool of a host: name its data directory")
    if ours.is_dir() and lost.samefile(ours):
        raise Conflict(f"{lost} is this machine's own spool")
    name = spool_name(lost)
    try:
        count = take_over(lost, ours)
    except OSError as error:
        raise AppError(f"{error.filename or lost}: {error.strerror}") from None

    async def hand_over(connection: "asyncpg.Connection") -> None:
        # In this order: at no moment does a report count what is still in the spool.
        await note_waiting(connection, ours)
        await forget(connection, name)

    _ask(settings, hand_over)
    print(
        f"{count} files of {name} are in the spool of this machine, which drains them while `ariane serve` runs; {name} is forgotten"
    )


def _ask(settings: Settings, question: "Callable[[asyncpg.Connection], Awaitable[T]]") -> T:
    import asyncpg

    async def answer(dsn: str) -> T:
        connection = await asyncpg.connect(dsn)
        try:
            return await question(connection)
        finally:
            await connection.close()

    with reached(settings, make=False) as dsn:
        return asyncio.run(answer(dsn))
