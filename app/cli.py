"""The command `ariane`. `serve` is imported alone, because it must start fast and stay small; every other command by way of commands/app.py."""

import sys

from app.database.embedded import PostgresError
from app.errors import AppError
from app.server.supervisor import ServeError
from app.settings import SettingsError


def main() -> None:
    """Run a command. An error that the operator can correct ends it with one sentence and status 1."""
    try:
        if sys.argv[1:2] == ["serve"]:
            from app.commands import serve

            serve.main(sys.argv[2:])
        else:
            from app.commands import app

            app.app(prog_name="ariane")
    except (SettingsError, ServeError, PostgresError, AppError) as error:
        print(f"ariane: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
