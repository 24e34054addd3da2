"""The embedded PostgreSQL where things go wrong: killed parents and servers, half-done and foreign directories, root and private homes."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.database.embedded import (
    SOCKET_PATH_MAX_BYTES,
    AlreadyRunning,
    Cluster,
    PostgresError,
    StillLeaving,
    find_programs,
)

pytestmark = pytest.mark.faults
PROJECT = Path(__file__).parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it is about a server that root starts")

# Prints `pid dsn` once ready and runs until its input ends. argv: data directory, PG_BIN, `forbid` to allow no further
# user namespaces (in a namespace of its own whose limit is 0), uid to become. Everything is imported before that.
HOLDER = """
import ctypes, os, sys
from pathlib import Path
from app.database.embedded import Cluster
data, pg_bin, forbid, uid = sys.argv[1:]
if forbid:
    assert ctypes.CDLL(None).unshare(0x10000000) == 0
    print("unshared", flush=True)
    sys.stdin.readline()
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
if uid:
    os.setgroups([]); os.setgid(int(uid)); os.setuid(int(uid))
cluster = Cluster(Path(data), pg_bin, durable=False)
cluster.prepare()
cluster.spawn()
cluster.wait_ready()
print(cluster.process.pid, cluster.dsn, flush=True)
sys.stdin.read()
cluster.stop()
"""


class Holder:
    """A process that runs a cluster."""

    def __init__(self, data: Path, *, pg_bin: str = "", forbid: bool = False, uid: int | None = None) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                HOLDER,
                str(data),
                pg_bin,
                "forbid" if forbid else "",
                "" if uid is None else str(uid),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if forbid:
            assert self.process.stdout.readline() == "unshared\n"
            for file in ("uid_map", "gid_map"):  # every id stands for itself, so that `nobody` exists in there
                Path(f"/proc/{self.process.pid}/{file}").write_text("0 0 4294967295")
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the cluster did not start: {self.process.communicate()[1]}")
        self.server_pid, self.dsn = int(line.split()[0]), line.split()[1]

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def stop(self) -> None:
        _, errors = self.process.communicate("")
        assert self.process.returncode == 0, errors

    def __enter__(self) -> "Holder":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()


def ask(dsn: str, sql: str) -> str:
    """The single value that `sql` answers, by PostgreSQL's own client."""
    psql = [str(find_programs() / "psql"), dsn, "-XAtqc", sql]
    return subprocess.run(psql, check=True, capture_output=True, text=True, cwd="/").stdout.strip()


def lives(pid: int) -> bool:
    """Whether the process exists and is not merely waiting to be reaped by whoever inherited it."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def memory() -> str | None:
    """A folder in memory where there is room: a cluster is a thousand files, which some machines' disks copy in 2 s."""
    room = Path("/dev/shm")
    return str(room) if room.is_dir() and shutil.disk_usage(room).free > 512 << 20 else None


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A data directory with a whole cluster, stopped, to be copied; made once because initdb takes a second."""
    with tempfile.TemporaryDirectory(prefix="ariane-pg-", dir=memory()) as folder:
        with Cluster(Path(folder), durable=False).run() as dsn:
            ask(dsn, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
        yield Path(folder)


@pytest.fixture
def shelf() -> Iterator[Path]:
    """A folder that every user can reach, in memory where possible; pytest's own folders are private."""
    with tempfile.TemporaryDirectory(prefix="ariane-pg-", dir=memory()) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder that every user can reach and from which programs may be run, which memory's often forbids."""
    with tempfile.TemporaryDirectory(prefix="ariane-pg-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def data(made: Path, shelf: Path) -> Path:
    """A copy of `made` of this test's own."""
    return copy_of(made, shelf / "data")


def copy_of(made: Path, target: Path) -> Path:
    shutil.copytree(made, target, symlinks=True)
    target.chmod(0o755)
    return target


def copy_programs(target: Path) -> str:
    """The wheel's programs under `target`, as hard links where possible, and the PG_BIN that names them."""
    wheel = find_programs().parents[1]
    for package in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        shutil.copytree(
            package,
            target / package.name,
            symlinks=True,
            ignore=shutil.ignore_patterns("include", "*.a"),
            copy_function=link_or_copy,
        )
    return str(target / wheel.name / "pginstall/bin")


def link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def test_killing_the_parent_leaves_no_server_and_the_next_start_finds_what_was_committed(data: Path) -> None:
    holder = Holder(data)
    ask(holder.dsn, "UPDATE kept SET n = 8")
    holder.kill()
    with Cluster(data).run() as dsn:  # at once: it waits for the old server by itself
        assert not lives(holder.server_pid)
        assert ask(dsn, "SELECT n FROM kept") == "8"


def test_a_killed_server_is_started_again_by_its_living_parent_without_loss(data: Path) -> None:
    cluster = Cluster(data)
    with cluster.run() as dsn:
        assert cluster.process is not None
        orphan = subprocess.Popen(
            [str(find_programs() / "psql"), dsn, "-c", "SELECT pg_sleep(60)"], stderr=subprocess.DEVNULL
        )
        ask(dsn, "UPDATE kept SET n = 9")
        cluster.process.kill()
        cluster.process.wait()
        cluster.spawn()
        cluster.wait_ready()
        assert ask(dsn, "SELECT n FROM kept") == "9"
        assert orphan.wait() != 0


def test_a_new_server_is_not_started_beside_a_process_of_the_old_one(data: Path) -> None:
    cluster = Cluster(data)
    with cluster.run():
        assert cluster.process is not None
        backend = _some_child(cluster.process.pid)
        os.kill(backend, signal.SIGSTOP)  # cannot notice that its server died
        cluster.process.kill()
        cluster.process.wait()
        with pytest.raises(StillLeaving, match="has not left"):
            cluster.spawn(wait_s=0.2)
        os.kill(backend, signal.SIGCONT)
        cluster.spawn()
        cluster.wait_ready()


def _some_child(parent: int) -> int:
    return int(Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0])


def test_a_half_done_initdb_is_done_again(shelf: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(shelf), "", "", ""],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=PROJECT,
    )
    unfinished = shelf / "postgres" / "cluster.new"
    deadline = time.monotonic() + 10
    while not (unfinished / "PG_VERSION").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    holder.kill()
    holder.communicate()
    assert (unfinished / "PG_VERSION").exists()  # the file that others take for proof of a whole one
    assert not (shelf / "postgres" / "cluster").exists()
    with Cluster(shelf, durable=False).run() as dsn:
        assert ask(dsn, "SELECT current_database()") == "ariane"
        assert not unfinished.exists()


def test_a_directory_that_lost_its_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "postgres/cluster/base/1/1259"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"rows")
    with pytest.raises(PostgresError, match="PG_VERSION is missing: restore it from a backup"):
        Cluster(tmp_path).prepare()
    assert kept.read_bytes() == b"rows"


def test_a_cluster_of_another_major_version_is_refused_with_the_way_out(tmp_path: Path) -> None:
    version = tmp_path / "postgres/cluster/PG_VERSION"
    version.parent.mkdir(parents=True)
    version.write_text("17\n")
    with pytest.raises(
        PostgresError, match=r"made by PostgreSQL 17 .* set PG_BIN to PostgreSQL 17, save with pg_dumpall"
    ):
        Cluster(tmp_path).prepare()
    assert version.read_text() == "17\n"


def test_a_second_instance_on_the_same_directory_is_refused_and_the_first_goes_on(data: Path) -> None:
    with Holder(data) as first:
        with pytest.raises(AlreadyRunning, match="another Ariane runs the database"):
            Cluster(data).prepare()
        assert ask(first.dsn, "SELECT n FROM kept") == "7"


@pytest.mark.parametrize("name", ["x" * SOCKET_PATH_MAX_BYTES, 'a, "b": é?=#%41'])
def test_a_path_that_no_socket_or_dsn_can_hold_is_replaced_by_a_private_folder(
    made: Path, shelf: Path, name: str
) -> None:
    cluster = Cluster(copy_of(made, shelf / name))
    try:
        with cluster.run() as dsn:
            assert cluster.socket_dir.parent == Path("/tmp")
            assert stat.S_IMODE(cluster.socket_dir.stat().st_mode) == 0o700
            assert ask(dsn, "SELECT n FROM kept") == "7"
    finally:
        shutil.rmtree(cluster.socket_dir, ignore_errors=True)


@as_root
def test_a_private_folder_that_a_stranger_made_first_is_not_used(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / ("x" * SOCKET_PATH_MAX_BYTES))
    cluster.socket_dir.mkdir()
    os.chown(cluster.socket_dir, 12345, 12345)
    try:
        with pytest.raises(PostgresError, match="belongs to another user: remove it"):
            cluster.prepare()
    finally:
        cluster.socket_dir.rmdir()


def test_programs_that_do_not_exist_are_named(tmp_path: Path) -> None:
    with pytest.raises(PostgresError, match="holds no `postgres`"):
        Cluster(tmp_path, str(tmp_path / "nowhere"))


@pytest.fixture
def private_home(disk: Path) -> Path:
    """A home of mode 0700, for the data and for the programs."""
    home = disk / "home"
    home.mkdir(mode=0o700)
    return home


@as_root
def test_root_serves_from_a_private_home_and_changes_no_mode(private_home: Path) -> None:
    with Holder(private_home / "data", pg_bin=copy_programs(private_home / "site")) as holder:
        assert ask(holder.dsn, "SELECT 1") == "1"
        assert (private_home / "data/postgres/cluster").stat().st_uid == 0  # as in a user namespace
        assert not (private_home / "data/postgres/elsewhere").exists()
    assert stat.S_IMODE(private_home.stat().st_mode) == 0o700


@as_root
def test_root_serves_a_private_home_from_elsewhere_where_user_namespaces_are_forbidden(private_home: Path) -> None:
    programs = copy_programs(private_home / "site")
    pointer = private_home / "data/postgres/elsewhere"
    try:
        with Holder(private_home / "data", pg_bin=programs, forbid=True) as holder:
            ask(holder.dsn, "CREATE TABLE kept AS SELECT 7 AS n")
            assert _uid_of(holder.server_pid) == pwd.getpwnam("nobody").pw_uid
        assert stat.S_IMODE(private_home.stat().st_mode) == 0o700
        assert pointer.read_text().startswith("/var/lib/ariane-")
        with Holder(private_home / "data", pg_bin=programs) as holder:  # allowed again: it stays where it is
            assert ask(holder.dsn, "SELECT n FROM kept") == "7"
    finally:
        if pointer.exists():
            shutil.rmtree(pointer.read_text().strip())


@as_root
def test_root_hands_its_cluster_to_nobody_where_user_namespaces_are_now_forbidden(data: Path, disk: Path) -> None:
    with Holder(data, forbid=True, pg_bin=copy_programs(disk)) as holder:
        assert _uid_of(holder.server_pid) == pwd.getpwnam("nobody").pw_uid
        assert ask(holder.dsn, "SELECT n FROM kept") == "7"
    assert not (data / "postgres/elsewhere").exists()


@as_root
def test_root_refuses_to_strand_its_cluster_in_a_private_home_where_user_namespaces_are_now_forbidden(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o700)
    version = tmp_path / "postgres/cluster/PG_VERSION"
    version.parent.mkdir(parents=True)
    version.write_text("18\n")
    with pytest.raises(PostgresError, match="private to root and user namespaces are forbidden here"):
        Cluster(tmp_path, namespaces=False).prepare()


@as_root
def test_an_ordinary_user_runs_a_cluster_that_root_may_run_in_between(shelf: Path, disk: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    os.chown(shelf, nobody.pw_uid, nobody.pw_gid)
    programs = copy_programs(disk)  # the project itself may be out of an ordinary user's reach
    with Holder(shelf, pg_bin=programs, uid=nobody.pw_uid) as holder:
        ask(holder.dsn, "CREATE TABLE kept AS SELECT 7 AS n")
    with Holder(shelf, pg_bin=programs) as holder:
        assert _uid_of(holder.server_pid) == nobody.pw_uid
    with Holder(shelf, pg_bin=programs, uid=nobody.pw_uid) as holder:
        assert ask(holder.dsn, "SELECT n FROM kept") == "7"


def _uid_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid
