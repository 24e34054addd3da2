"""What stands beside the service in front of one database: a hot standby that answers reports, and a PgBouncer that is refused."""

import asyncio
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from app.database.embedded import Cluster
from tests.faults.test_postgres import memory
from tests.faults.test_serve import run
from tests.served import ARIANE, Served, free_port, serve

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not os.environ.get("ARIANE_TESTS_LONG"), reason="several servers: make faults"),
]
PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


async def answers(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


@contextmanager
def standby_of(primary: Cluster, home: Path) -> Iterator[str]:
    """A hot standby that streams from `primary`, for the length of the block; its DSN."""
    standby = Cluster(home, durable=False)
    standby.directory.mkdir(parents=True, mode=0o700)
    copy = ["pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", f"--pgdata={standby.directory}"]
    subprocess.run(
        [primary.programs.bin / copy[0], *copy[1:], f"--host={primary.socket_dir}", "--username=postgres"], check=True
    )
    try:
        standby.prepare()
        standby.spawn()
        deadline = time.monotonic() + 30
        while True:
            try:
                assert asyncio.run(answers(standby.dsn, "SELECT pg_is_in_recovery()")) is True
                break
            except (OSError, asyncpg.PostgresError):
                assert time.monotonic() < deadline, (standby.home / "server.log").read_text()
                time.sleep(0.05)
        yield standby.dsn
    finally:
        standby.stop()


def test_reports_are_read_from_a_hot_standby_and_nothing_is_served_from_one_alone(tmp_path: Path) -> None:
    place = Path(subprocess.check_output(["mktemp", "-d", f"{memory()}/ariane-standby-XXXX"], text=True).strip())
    primary = Cluster(place / "primary", durable=False)
    try:
        with primary.run() as dsn, standby_of(primary, place / "standby") as standby:
            with serve(tmp_path, DATABASE_URL=dsn, REPORTS_DATABASE_URL=standby) as served:
                check_reports(served, standby)
            (tmp_path / "alone").mkdir()
            refused = serve_once(tmp_path / "alone", standby)
            assert "is a standby" in refused
            assert "REPORTS_DATABASE_URL" in refused
    finally:
        shutil.rmtree(place, ignore_errors=True)


def check_reports(served: Served, standby: str) -> None:
    order = {"order_id": "1", "net_minor": 4_200, "currency": "EUR"}
    served.call("POST", "/v1/conversions", order)
    path = "/v1/reports/summary"
    # A brand that was made a moment ago may not have reached the standby.
    served.until(
        lambda: asyncio.run(
            answers(standby, "/* across brands: everything there is */ SELECT count(*) FROM conversion")
        )
    )
    assert served.until(lambda: served.call("GET", path)["all_orders"]["net_minor"] == 4_200)
    # It is the standby that answers: what it may not replay is not in the report, though the API knows it.
    asyncio.run(answers_as_postgres(standby, "SELECT pg_wal_replay_pause()"))
    served.call("POST", "/v1/conversions", {**order, "order_id": "2"})
    assert len(served.call("GET", "/v1/conversions")["data"]) == 2
    assert served.call("GET", path)["all_orders"]["net_minor"] == 4_200
    asyncio.run(answers_as_postgres(standby, "SELECT pg_wal_replay_resume()"))
    assert served.until(lambda: served.call("GET", path)["all_orders"]["net_minor"] == 8_400)


async def answers_as_postgres(dsn: str, statement: str) -> None:
    await answers(dsn.replace("ariane@", "postgres@"), statement)


def serve_once(data: Path, dsn: str) -> str:
    """What a start that must be refused says."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("ARIANE_")}
    environment = {**plain, "PORT": str(free_port()), "ARIANE_DATA": str(data), "DATABASE_URL": dsn}
    done = subprocess.run([ARIANE, "serve"], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
@pytest.mark.parametrize(("mode", "is_refused"), [("transaction", True), ("session", False)])
def test_a_pooler_in_transaction_mode_is_refused_and_one_in_session_mode_is_not(
    tmp_path: Path, mode: str, is_refused: bool
) -> None:
    port = free_port()
    with Cluster(tmp_path / "pg", durable=False).run() as dsn:
        socket_dir = Cluster(tmp_path / "pg").socket_dir
        (tmp_path / "users").write_text('"ariane" ""\n')
        (tmp_path / "pgbouncer.ini").write_text(
            f"[databases]\nariane = host={socket_dir} dbname=ariane user=ariane\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
            f"auth_type = any\nauth_file = {tmp_path}/users\npool_mode = {mode}\nunix_socket_dir =\nignore_startup_parameters = extra_float_digits\n"
            "default_pool_size = 60\n"
        )
        assert asyncio.run(answers(dsn, "SELECT 1")) == 1
        pooled = f"postgresql://ariane@127.0.0.1:{port}/ariane"
        with bouncer(tmp_path, pooled):
            if is_refused:
                told = serve_once(tmp_path / "data", pooled)
                assert "a pooler in transaction mode" in told
            else:
                with serve(tmp_path, DATABASE_URL=pooled) as served:
                    served.call("POST", "/v1/conversions", {"order_id": "1", "net_minor": 1, "currency": "EUR"})


@contextmanager
def bouncer(place: Path, dsn: str) -> Iterator[None]:
    """PgBouncer with the settings in `place`; it refuses to run as root."""
    assert PGBOUNCER is not None
    command = [PGBOUNCER, str(place / "pgbouncer.ini")]
    # In a user namespace root is somebody else, and the files stay reachable.
    if os.geteuid() == 0:
        command = ["unshare", "--user", "--map-user=1000", *command]
    with (place / "bouncer.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                asyncio.run(answers(dsn, "SELECT 1"))
                break
            except (OSError, asyncpg.PostgresError):
                assert process.poll() is None, (place / "bouncer.log").read_text()
                assert time.monotonic() < deadline, (place / "bouncer.log").read_text()
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(10)


def test_a_second_host_with_a_key_of_its_own_does_not_start(tmp_path: Path) -> None:
    with Cluster(tmp_path / "pg", durable=False).run() as dsn:
        (tmp_path / "first").mkdir()
        with serve(tmp_path / "first", DATABASE_URL=dsn) as served:
            told = serve_once(tmp_path / "second", dsn)
            assert "copy secret.key from the data directory of another host" in told
            shutil.copy(served.data / "secret.key", tmp_path / "second" / "secret.key")
            (tmp_path / "third").mkdir()
            shutil.move(tmp_path / "second", tmp_path / "third" / "data")
            with serve(tmp_path / "third", DATABASE_URL=dsn) as second:
                with urllib.request.urlopen(f"{second.url}/readyz") as answer:
                    assert answer.status == 200
                listed = run_hosts(dsn)
                assert listed.count("running") == 2
        assert run_hosts(dsn).count("stopped") == 2


def run_hosts(dsn: str) -> str:
    environment = {**os.environ, "DATABASE_URL": dsn}
    done = subprocess.run([ARIANE, "hosts", "list"], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_a_lost_key_of_the_embedded_database_is_not_replaced_in_silence(tmp_path: Path) -> None:
    with serve(tmp_path) as served:
        data = served.data
    (data / "secret.key").unlink()
    done = run("serve", "--port", "0", "--data", str(data))
    assert done.returncode == 1
    assert "copy secret.key" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_password_of_any_characters_is_passed_beside_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As compose.yaml passes it."""
    password = 'p@ss/w:rd#?%$& "x'
    cluster = Cluster(tmp_path / "pg", durable=False)
    with cluster.run() as dsn:
        asyncio.run(set_password(dsn.replace("ariane@", "postgres@"), password))
        rules = cluster.directory / "pg_hba.conf"
        rules.write_text("local all ariane scram-sha-256\n" + rules.read_text())
        asyncio.run(answers_as_postgres(dsn, "SELECT pg_reload_conf()"))
        monkeypatch.setenv("PGPASSWORD", "another")
        with pytest.raises(asyncpg.InvalidPasswordError):
            asyncio.run(answers(dsn, "SELECT 1"))
        monkeypatch.setenv("PGPASSWORD", password)
        with serve(tmp_path, DATABASE_URL=dsn) as served:
            served.call("POST", "/v1/conversions", {"order_id": "1", "net_minor": 1, "currency": "EUR"})


async def set_password(dsn: str, password: str) -> None:
    connection = await asyncpg.connect(dsn)
    quoted = await connection.fetchval("SELECT quote_literal($1)", password)
    await connection.execute(f"ALTER ROLE ariane PASSWORD {quoted}")
    await connection.close()
