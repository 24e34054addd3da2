"""The command line: what it lists, and how it says no."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import typer

from app.commands import app as every
from app.database.connections import whereabouts
from app.database.migrate import head
from app.settings import Settings, read_settings, variable
from tests.commands.commanding import command


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "200"} | variables,
    )


def commands(app: typer.Typer, *above: str) -> Iterator[tuple[str, ...]]:
    """The words of every command there is."""
    for each in app.registered_commands:
        assert each.callback is not None
        yield (*above, each.name or each.callback.__name__)
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from commands(group.typer_instance, *above, str(group.name))


def test_the_release_is_the_one_that_is_installed() -> None:
    assert run("--version").stdout == f"ariane {version('ariane')}\n"


def test_every_command_stands_on_the_page_of_commands() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text()
    named = re.findall(r"^\| `ariane ([a-z ]+)` \|", page, re.M)
    assert sorted(named) == sorted(map(" ".join, commands(every.app)))


def test_settings_lists_every_variable_with_its_default_and_unit() -> None:
    shown = run("settings").stdout
    for field in Settings.__struct_fields__:
        assert re.search(rf"^ *{variable(field)} ", shown, re.M), field
    assert re.search(r"ARIANE_SPOOL_SYNC_MS +100 +milliseconds +", shown)
    assert re.search(r"ARIANE_SPOOL_CAP_BYTES +4294967296 +bytes +", shown)


def test_a_row_of_settings_is_one_line_in_a_pipe_and_a_variable_is_whole_in_any_terminal() -> None:
    piped = run("settings", COLUMNS="").stdout.splitlines()
    assert len(piped) == 1 + len(Settings.__struct_fields__)
    assert len(json.loads(command("settings", "--json").stdout)) == len(Settings.__struct_fields__)
    narrow = run("settings", COLUMNS="80").stdout
    assert "…" not in narrow.replace("sk_…", "")
    assert all(re.search(rf"^{variable(field)}( |$)", narrow, re.M) for field in Settings.__struct_fields__)
    assert "ARIANE_SPOOL_SYNC_MS           100 milliseconds\n    Milliseconds between two flushes" in narrow
    assert max(map(len, narrow.splitlines())) <= 80


def test_settings_says_how_to_reach_the_database(tmp_path: Path) -> None:
    found = run("settings", "--dsn", "--data", str(tmp_path)).stdout
    assert found == f"postgresql://ariane@/ariane?host={tmp_path}/postgres/run&port=5432\n"
    assert run("settings", "--dsn", DATABASE_URL="postgresql://me@db/x").stdout == "postgresql://me@db/x\n"


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        (("serve",), {"PORT": "99999"}, "PORT=99999: a whole number from 0 to 65535 is needed"),
        (("serve", "--port", "99999"), {}, "ariane: --port 99999: a whole number from 0 to 65535 is needed"),
        (("serve", "--workers", "0"), {"PORT": "x"}, "PORT=x: a whole number"),
        (("serve", "--data", ""), {}, "--data is empty"),
        (("serve", "--host="), {}, "--host is empty"),
        (("migrate", "--data", ""), {}, "--data is empty"),
        (("migrate", "--data", "/dev/null"), {}, "/dev/null/postgres: Not a directory"),
        (("quarantine", "list", "--data", "/nowhere"), {}, "there is no directory /nowhere"),
        (("serve",), {"ARIANE_PUBLIC_URL": "http://"}, "ARIANE_PUBLIC_URL: begins with http:// or https:// and a host"),
        (("serve",), {"ARIANE_WORKERS": "none"}, "ARIANE_WORKERS=none"),
        (("serve",), {"ARIANE_LOG_LEVEL": "loud"}, "ARIANE_LOG_LEVEL=loud: choose among debug, info, warning, error"),
        (("serve", "--host", "192.0.2.1", "--port", "0"), {}, "cannot listen on 192.0.2.1:0"),
        (("serve", "--host", "no such host"), {}, "cannot listen on no such host"),
        (("serve",), {"PG_BIN": "/nowhere", "PORT": "0"}, "PG_BIN=/nowhere holds no `postgres`"),
        (("deliveries", "list", "--key", "sk_é"), {}, "--key: holds a character that no key has"),
        (("deliveries", "show", ""), {"ARIANE_KEY": "sk_x"}, "'' is no id of a delivery"),
        (("deliveries", "show", "."), {"ARIANE_KEY": "sk_x"}, "'.' is no id of a delivery: dlv_…"),
        (("deliveries", "replay", "--dry-run"), {"ARIANE_KEY": "sk_x"}, "a filter such as --status rejected"),
        (("deliveries", "list", "--url", "", "--key", "sk_x"), {}, "--url is empty"),
        (("deliveries", "list", "--key="), {"ARIANE_KEY": "sk_x"}, "--key is empty"),
        (("serve",), {"ARIANE_SECRET_KEY": "short"}, "ARIANE_SECRET_KEY: at least 32 characters"),
        (("migrate",), {"DATABASE_URL": "mysql://x"}, "DATABASE_URL: only postgresql://"),
        (("deliveries", "list", "--url", "localhost:8000"), {"ARIANE_KEY": "sk_x"}, "begins with http:// or https://"),
        (("import", __file__, "--report", "/nowhere/x.csv"), {"ARIANE_KEY": "sk_x"}, "no directory /nowhere"),
        (("reconcile", __file__, "--report", "/"), {"ARIANE_KEY": "sk_x"}, "--report /: is a directory"),
        (
            ("keys", "create", "--brand", "X"),
            {"DATABASE_URL": "postgresql://127.0.0.1:9/x"},
            "the database 'x' at 127.0.0.1, port 9 cannot be reached ([Errno 111]",
        ),
        (("migrate",), {"DATABASE_URL": "postgresql://me:secret/@db/x"}, "DATABASE_URL: cannot be read"),
        (("migrate",), {"DATABASE_URL": "postgresql://me:secr@et@db/x"}, "@ is written %40"),
    ],
)
def test_what_the_operator_can_mend_is_said_in_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str], sentence: str
) -> None:
    # `serve` gets a process of its own: it blocks signals.
    ask = run if arguments[0] == "serve" else command
    refused = ask(*arguments, ARIANE_DATA=str(tmp_path), **variables)
    assert refused.returncode == 1
    assert refused.stderr.startswith("ariane: ")
    assert sentence in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert "secr" not in refused.stderr.replace("ARIANE_SECRET_KEY", "")


@pytest.mark.parametrize(
    ("dsn", "where"),
    [
        ("postgresql://me:pw@db.internal/ariane", "'ariane' at db.internal, port 5432"),
        ("postgresql://me:pw@[::1]:6543/", "'me' at [::1], port 6543"),
        (
            "postgresql://ariane@/ariane?host=/data/postgres/run&port=5432",
            "'ariane' on the socket in /data/postgres/run",
        ),
        ("postgresql:///x?password=pw", "'x' at this machine, port 5432"),
    ],
)
def test_a_database_is_named_by_where_it_is_and_never_by_who_may_enter(dsn: str, where: str) -> None:
    assert whereabouts(dsn) == where


def test_an_address_with_colons_is_written_in_brackets() -> None:
    assert read_settings({"HOST": "::1", "PORT": "80"}).base_url == "http://[::1]:80"


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = run("serve", "--data", str(tmp_path / "file" / "data"))
    assert refused.returncode == 1
    assert f"{tmp_path}/file/data: Not a directory: choose another data directory" in refused.stderr


def test_a_database_that_is_made_where_none_was_is_said_once(tmp_path: Path) -> None:
    first, second = (run("migrate", "--data", str(tmp_path)) for _ in range(2))
    assert first.stderr == f"ariane: no database was in {tmp_path}, a new one was made there\n"
    assert (second.returncode, second.stderr) == (0, "")
    assert first.stdout == second.stdout == f"the database is up to date (schema {head()})\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--port", "abc"), "argument --port: invalid int value: 'abc'"),
        (("--prot", "1"), "unrecognized arguments: --prot 1"),
    ],
)
def test_an_option_of_serve_that_is_none_is_named_beside_those_there_are(
    arguments: tuple[str, ...], sentence: str
) -> None:
    refused = run("serve", *arguments)
    assert refused.returncode == 2
    assert sentence in refused.stderr
    assert "--workers" in refused.stderr


def test_the_list_of_commands_and_the_page_of_serve_say_the_same_of_it() -> None:
    said = "Run the service: PostgreSQL unless DATABASE_URL is set, web workers, the background process."
    assert said in " ".join(run("serve", "--help").stdout.split())
    assert said[:60] in run("--help").stdout


@pytest.mark.parametrize("asked", ["-h", "--help"])
def test_every_command_answers_both_words_for_help_under_its_own_name(asked: str) -> None:
    for words in ((), ("serve",), ("keys", "create")):
        page = run(*words, asked)
        assert page.returncode == 0, words
        assert f"sage: {' '.join(('ariane', *words))} [" in page.stdout


def test_a_workbook_is_refused_by_its_name_unless_it_is_said_how_it_is_written(tmp_path: Path) -> None:
    sheet = tmp_path / "orders.xlsx"
    sheet.touch()
    assert "save the sheet as CSV UTF-8" in run("import", str(sheet), ARIANE_KEY="sk_x").stderr
    said = run("import", str(sheet), "--format", "csv", ARIANE_KEY="sk_x", ARIANE_PUBLIC_URL="http://127.0.0.1:1")
    assert "does not answer" in said.stderr


def test_the_parent_holds_nothing_big() -> None:
    code = "import sys, app.cli, app.commands.serve; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'app.server.supervisor'" in done.stdout
    for name in ("asyncio", "cryptography", "fastapi", "logging", "rich", "ssl", "typer", "uvicorn"):
        assert f"'{name}'" not in done.stdout, name
