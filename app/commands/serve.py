"""`ariane serve`. It parses its options with argparse: typer took a third of the time to the first redirect, and stayed in memory."""

import argparse
from collections.abc import Sequence

from app.server.supervisor import serve
from app.settings import read_settings


def main(arguments: Sequence[str]) -> None:
    """Run the service with these options until it is told to stop.

    Raises ServeError, SettingsError or PostgresError when it cannot start. An unknown option ends the process with status 2.
    """
    parser = argparse.ArgumentParser(
        prog="ariane serve",
        description="Run the service: PostgreSQL unless DATABASE_URL is set, web workers, the background process. Ctrl-C stops all in order.",
        epilog="Everything else is set by environment variables: `ariane settings` lists them.",
        allow_abbrev=False,
    )
    parser.add_argument("--host", help="address to listen on [HOST, 127.0.0.1]")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for a free one [PORT, 8000]")
    parser.add_argument("--workers", type=int, help="web worker processes [ARIANE_WORKERS, 1]")
    parser.add_argument("--data", help="data directory [ARIANE_DATA, ./data]")
    chosen = parser.parse_args(arguments)
    serve(read_settings(host=chosen.host, port=chosen.port, workers=chosen.workers, data=chosen.data))
