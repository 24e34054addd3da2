"""How commands without an API key reach the database: by DATABASE_URL, or in the data directory, whether `serve` runs or not."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Annotated

import typer

from app.database.errors import DRIVER_ERRORS
from app.settings import Settings, SettingsError

# Not a Path: an empty one would be the current directory.
Data = Annotated[str | None, typer.Option("--data", help="Data directory [ARIANE_DATA, ./data].", show_default=False)]


@contextmanager
def reached(settings: Settings, *, make: bool = True) -> Iterator[str]:
    """The DSN of the migrated database. The embedded one is started for the length of the block, unless `serve` runs it already.

    make: whether to make an embedded one where there is none, and print so. Raises SettingsError when there is none or it cannot be reached.
    """
    from app.database.connections import whereabouts
    from app.database.embedded import reach
    from app.database.migrate import migrate as bring_up

    given = settings.database_url
    new = not given and not (settings.data / "postgres").exists()
    if new and not make:
        raise SettingsError(
            f"no database is in {settings.data.absolute()}: say --data or DATABASE_URL, as `ariane serve` has it"
        )
    with nullcontext(given) if given else reach(settings.data, settings.pg_bin) as dsn:
        try:
            bring_up(dsn)
        except DRIVER_ERRORS as error:
            why = str(error) or type(error).__name__
            raise SettingsError(
                f"the database {whereabouts(dsn)} cannot be reached ({why}): check DATABASE_URL, and that PostgreSQL runs there"
            ) from None
        if new:
            print(f"ariane: no database was in {settings.data.absolute()}, a new one was made there", file=sys.stderr)
        yield dsn
