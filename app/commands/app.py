"""Every command of `ariane`, except what `serve` does. A command imports large modules itself, when it needs them."""

import ast
import inspect
import json
from collections.abc import Iterator
from typing import Annotated

import typer

from app.commands import backup, brand, deliveries, doctor, files, hosts, keys, privacy, quarantine
from app.commands import serve as serving
from app.commands.database import Data, reached
from app.commands.output import ROOMY_COLUMNS, AsJson, columns, console, print_json
from app.errors import AppError
from app.server.app import version
from app.settings import Settings, child_environment, read_settings, variable

app = typer.Typer(
    name="ariane",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_enable=False,
)
app.add_typer(keys.app, name="keys", help="Keys of the API: on the machine that runs the service, without a key.")
app.add_typer(brand.app, name="brand", help="Deleting the brand of a key, with everything in it.")
app.add_typer(deliveries.app, name="deliveries", help="What shops sent to a running service, and reading it again.")
app.add_typer(privacy.app, name="privacy", help="What is kept of a person: export it, or erase it; figures stay.")
app.add_typer(doctor.orders, name="orders", help="Stored orders: on the machine that runs the service, without a key.")
app.add_typer(hosts.app, name="hosts", help="The machines that share one database, on one of them.")
app.add_typer(quarantine.app, name="quarantine", help="Lines of this machine's spool that could not be recorded.")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"ariane {version()}")
        raise typer.Exit


@app.callback()
def ariane(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print which release this is.")
    ] = False,
) -> None:
    """Attribution for influencer marketing: links and codes out, clicks and orders in, revenue and ROI back."""


# Only listed here: main() hands `serve` and its `--help` to serve.py.
@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def serve(context: typer.Context) -> None:
    """Run the service: PostgreSQL unless DATABASE_URL is set, web workers, the background process. Ctrl-C stops all in order."""
    serving.main(context.args)


@app.command()
def work(data: Data = None) -> None:
    """Run the background process alone, beside web workers started otherwise."""
    from app.server.background import main as run

    run(read_settings(data=data))


@app.command()
def migrate(data: Data = None) -> None:
    """Bring the database to this release's schema. `serve` does it by itself."""
    from app.database.migrate import head

    with reached(read_settings(data=data)):
        print(f"the database is up to date (schema {head()})")


UNITS = {"ms": "milliseconds", "s": "seconds", "bytes": "bytes", "rows": "rows", "days": "days"}
"""Unit of a setting, by the end of its name."""


@app.command("settings")
def show_settings(
    dsn: Annotated[
        bool, typer.Option("--dsn", help="Print only how to reach the database (for pg_dump and psql).")
    ] = False,
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/settings.md.")] = False,
    data: Data = None,
) -> None:
    """List every setting: its variable, default, unit and meaning."""
    if dsn:
        from app.database.embedded import Cluster

        settings = read_settings(data=data)
        print(settings.database_url or Cluster(settings.data, settings.pg_bin).dsn)
    elif as_json:
        print_json([dict(zip(SETTING_WORDS, row, strict=True)) for row in _setting_rows()])
    elif markdown:
        print(SETTINGS_PAGE)
        for row in _setting_rows():
            print("| `{}` | {} | {} | {} |".format(*row))
    else:
        _print_settings()


SETTING_WORDS = ("variable", "default", "unit", "meaning")
SETTINGS_PAGE = """# Settings

Environment variables, read once at the start; `ariane settings` prints this list. An empty variable counts as unset.

| variable | default | unit | meaning |
|---|---|---|---|"""


def _print_settings() -> None:
    """A table where there is room, else each meaning below its setting: beside it only two words would fit on a line."""
    from textwrap import fill

    from rich.table import Table

    if columns() >= ROOMY_COLUMNS:
        shown = Table(*SETTING_WORDS, box=None, header_style="bold", pad_edge=False)
        for row in _setting_rows():
            shown.add_row(*row)
        console().print(shown)
        return
    for name, default, unit, meaning in _setting_rows():
        print(f"{name:<30} {default} {unit}".rstrip())
        print(fill(meaning, columns(), initial_indent="    ", subsequent_indent="    ", break_long_words=False))


def _setting_rows() -> Iterator[tuple[str, str, str, str]]:
    # What a setting means is the text below it in the source, which Python does not keep.
    table = ast.parse(inspect.getsource(Settings)).body[0]
    assert isinstance(table, ast.ClassDef)
    _, *meanings = (ast.literal_eval(each.value) for each in table.body if isinstance(each, ast.Expr))
    defaults = Settings.__struct_defaults__
    for field, default, meaning in zip(Settings.__struct_fields__, defaults, meanings, strict=True):
        yield variable(field), str(default), UNITS.get(field.rpartition("_")[2], ""), meaning


app.command("doctor")(doctor.doctor)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("adopt")(hosts.adopt)
app.command("import")(files.import_file)
app.command("reconcile")(files.reconcile_file)


@app.command()
def openapi() -> None:
    """Print the OpenAPI document of every door."""
    from app.server.app import openapi_document

    print(json.dumps(openapi_document(), indent=2, ensure_ascii=False))


@app.command()
def demo(
    clicks: Annotated[int, typer.Option(min=100, max=100_000, help="Redirects to ask for.")] = 4_000,
    orders: Annotated[int, typer.Option(min=10, max=10_000, help="Orders to place.")] = 400,
    seed: Annotated[int, typer.Option(help="Another number, another day.")] = 2026,
    data: Data = None,
) -> None:
    """Play a launch day through the public doors, show the report, and compare every figure with the demo's own books.

    Plays against the service at HOST and PORT; when none answers there, it starts one of its own and throws it away afterwards.
    """
    try:
        from demo.play import play
        from demo.run import DemoError
    except ModuleNotFoundError as error:
        if error.name != "demo":
            raise
        raise AppError("the demo is not installed here; run `make demo` in a copy of the source") from None
    settings = read_settings(data=data)
    try:
        differences = play(settings.base_url, child_environment(settings), clicks=clicks, orders=orders, seed=seed)
    except DemoError as error:
        raise AppError(str(error)) from None
    raise typer.Exit(1 if differences else 0)
