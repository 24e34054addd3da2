"""`ariane serve`: a small parent that owns the listening sockets and keeps its children running: PostgreSQL, web workers, the background process.

It imports nothing big and never handles a request, so that it survives its children. The sockets listen before a worker has started and while one is
replaced: connections wait in the kernel instead of being refused. Each worker has its own socket (SO_REUSEPORT), because workers that share a
socket share the load badly. kill -9 of the parent ends all children.
"""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep

import msgspec

from app.clock import monotonic_s
from app.database.embedded import MAX_CONNECTIONS, AlreadyRunning, Cluster, PostgresError, StillLeaving
from app.process import child_setup
from app.secret import load_secret
from app.server.checked import REFUSED, was_checked
from app.settings import Settings, child_environment, read_place

BACKLOG = 2_048
RESTART_PAUSE_MIN_S = 0.05
RESTART_PAUSE_MAX_S = 5.0
STABLE_S = 10.0
"""A child that lived this long is restarted at once; for one that dies sooner the pause doubles each time."""
LEAVING_RETRY_S = 0.05
DOORS_FIRST_S = 0.25
"""Head start of the web workers, whose start is all imports, before other children compete for the processors."""
WEB_STOP_S = 10.0
BACKGROUND_STOP_S = 5.0
COMMAND_WAIT_S = 10.0
CHECK_TIMEOUT_S = 15.0
WORKER_CONNECTIONS = 8
"""Connections of a web worker beside `database_pool`: for its directory, keys and reports."""
OTHER_CONNECTIONS = 30
"""Connections for the background process, commands and an operator's psql."""


class ServeError(Exception):
    """The service cannot start; the text is one sentence that says why and what to do."""


class Child:
    """A process that is started, the first time after `later_s`, and restarted when it ends. When `start` raises StillLeaving it is retried."""

    def __init__(
        self, name: str, start: Callable[[], subprocess.Popen[bytes]], *, restart: bool = True, later_s: float = 0.0
    ) -> None:
        self.name = name
        self.start = start
        self.restart = restart
        self.process: subprocess.Popen[bytes] | None = None
        self.due_s: float | None = monotonic_s() + later_s
        """When to start it, on the monotonic clock; None while it runs or must not be started."""
        self._started_s = 0.0
        self._pause_s = RESTART_PAUSE_MIN_S

    def start_if_due(self) -> None:
        if self.due_s is None or monotonic_s() < self.due_s:
            return
        try:
            self.process = self.start()
        except StillLeaving:
            self.due_s = monotonic_s() + LEAVING_RETRY_S
        else:
            self._started_s = monotonic_s()
            self.due_s = None

    def notice_end(self) -> None:
        """If the process has ended, report it and schedule the next start. Raises ServeError when it said why nothing may start."""
        if self.process is None or self.process.poll() is None:
            return
        code, self.process = self.process.returncode, None
        if code == REFUSED:
            raise ServeError("it does not start, for the reason above")
        if not self.restart:
            return
        lived_s = monotonic_s() - self._started_s
        self._pause_s = RESTART_PAUSE_MIN_S if lived_s > STABLE_S else min(self._pause_s * 2, RESTART_PAUSE_MAX_S)
        self.due_s = monotonic_s() + self._pause_s
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        say(f"{self.name} {how} after {lived_s:.1f} s, starting again in {self._pause_s:.1f} s")

    def signal(self, number: int) -> None:
        self.due_s = None
        if self.process is not None:
            self.process.send_signal(number)


def say(text: str) -> None:
    """Print one line to the operator."""
    print(f"ariane: {text}", file=sys.stderr, flush=True)


def serve(settings: Settings) -> None:
    """Run the service until SIGTERM or SIGINT, and return when every child has ended.

    Raises ServeError, SettingsError or PostgresError when it cannot start; no child is left running.
    """
    settings = msgspec.structs.replace(settings, data=settings.data.absolute())
    with _data_lock(settings.data):
        listeners = open_listeners(settings.host, settings.port, settings.workers)
        internal: list[socket.socket] = []
        try:
            if settings.internal_address:
                internal = open_listeners(*read_place("internal_address", settings.internal_address), settings.workers)
            settings = msgspec.structs.replace(
                settings, port=listeners[0].getsockname()[1], secret_key=load_secret(settings)
            )
            Parent(settings, listeners, internal).run()
        finally:
            for listener in (*listeners, *internal):
                listener.close()


@contextmanager
def _data_lock(data: Path) -> Iterator[None]:
    """The lock of the data directory: two services on one directory would drain each other's spool."""
    try:
        # Other users may pass, as PostgreSQL under `nobody` must, but not list.
        data.mkdir(mode=0o711, parents=True, exist_ok=True)
        lock = os.open(data / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ServeError(
            f"{data}: {error.strerror}: choose another data directory with --data or ARIANE_DATA"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ServeError(
            f"another `ariane serve` runs on {data}: stop it first, or choose another directory with --data"
        ) from None
    else:
        yield
    finally:
        os.close(lock)


def open_listeners(host: str, port: int, count: int) -> list[socket.socket]:
    """`count` listening sockets on one port (0: a free one). Raises ServeError when the address is not available."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )[0]
        with socket.socket(family, kind) as plain:
            # SO_REUSEPORT would silently share the port with another program; a plain bind detects it.
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            plain.bind(address)
            address = plain.getsockname()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ServeError(
                f"port {port} on {host} is taken by another program: stop it, or choose another with --port or PORT"
            ) from None
        raise ServeError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    listeners = []
    for _ in range(count):
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listeners.append(listener)
    return listeners


class Parent:
    """The listening sockets and the children, grouped in the order in which they are stopped."""

    def __init__(self, settings: Settings, listeners: list[socket.socket], internal: list[socket.socket]) -> None:
        self.listeners = listeners
        self.internal = internal
        # Ignored signals stay ignored: `nohup` and shells rely on it. Blocked, they would still reach sigtimedwait.
        stopping = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        self.stopping = {each for each in stopping if signal.getsignal(each) is not signal.SIG_IGN}
        self.waking = self.stopping | {signal.SIGCHLD}
        signal.pthread_sigmask(signal.SIG_BLOCK, self.waking)
        self.cluster: Cluster | None = None
        if not settings.database_url:
            connections = OTHER_CONNECTIONS + settings.workers * (settings.database_pool + WORKER_CONNECTIONS)
            self.cluster = Cluster(settings.data, settings.pg_bin, connections=max(connections, MAX_CONNECTIONS))
            self._prepare(self.cluster)
            settings = msgspec.structs.replace(settings, database_url=self.cluster.dsn)
        self.settings = settings
        self.environment = child_environment(settings)
        # Compiling every module at every start costs 2 s.
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        sockets = zip(listeners, internal, strict=True) if internal else zip(listeners, strict=True)
        self.web = [Child(f"web worker {i + 1}", self._web(each)) for i, each in enumerate(sockets)]
        embedded = ["embedded"] if self.cluster else []
        self.background = [
            Child("background process", lambda: self._python("app.server.background", *embedded), later_s=DOORS_FIRST_S)
        ]
        if not (settings.data / "welcomed").exists():
            self.background.append(
                Child("welcome", lambda: self._python("app.server.first_start"), restart=False, later_s=DOORS_FIRST_S)
            )
        self.database = [Child("PostgreSQL", self._postgres)] if self.cluster else []

    def _prepare(self, cluster: Cluster) -> None:
        """Wait while a command such as `ariane keys create` runs the cluster; another service cannot, because we hold the lock."""
        deadline = monotonic_s() + COMMAND_WAIT_S
        while True:
            try:
                return cluster.prepare()
            except AlreadyRunning:
                if monotonic_s() > deadline:
                    raise
                sleep(LEAVING_RETRY_S)

    @property
    def children(self) -> list[Child]:
        return [*self.web, *self.background, *self.database]

    def _web(self, listeners: Sequence[socket.socket]) -> Callable[[], subprocess.Popen[bytes]]:
        descriptors = tuple(each.fileno() for each in listeners)
        return lambda: self._python("app.server.web_worker", *map(str, descriptors), pass_fds=descriptors)

    def _python(self, module: str, *arguments: str, pass_fds: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603  our own modules
            # -P: the current folder may contain another `app`.
            [sys.executable, "-P", "-m", module, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # otherwise Ctrl-C reaches every child at once, PostgreSQL too
            pass_fds=pass_fds,
            preexec_fn=child_setup(death_signal=signal.SIGKILL),
        )

    def _postgres(self) -> subprocess.Popen[bytes]:
        assert self.cluster is not None
        return self.cluster.spawn(wait_s=0)

    def run(self) -> None:
        """Start, supervise and stop the children."""
        host, port = self.listeners[0].getsockname()[:2]
        say(f"http://{f'[{host}]' if ':' in host else host}:{port} (data in {self.settings.data})")
        if self.settings.internal_address:
            say(f"http://{self.settings.internal_address}: /metrics and /docs, which the public address does not have")
        if self.cluster is not None and self.cluster.place != self.cluster.home:
            say(f"the embedded database is in {self.cluster.place}, because `nobody` cannot reach the data directory")
        try:
            self._check_start()
            self._supervise()
            say("stopping")
        finally:
            self._stop()

    def _check_start(self) -> None:
        """Let nothing start before the database was checked, where this host has not served from it with this key. Raises ServeError.

        The embedded database is new, or of a release that stored no key, where there is no mark at all: the background process sees to that.
        """
        checked = was_checked(self.settings, self.settings.secret_key)
        if checked or (checked is None and self.cluster is not None):
            return
        if self.cluster is not None:
            self.database[0].start_if_due()
            with suppress(PostgresError):  # it is then started and reported as always
                self.cluster.wait_ready()
        check = self._python("app.server.start_checks")
        try:
            code = check.wait(CHECK_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            check.kill()
            code = check.wait()
        if code == REFUSED:
            raise ServeError("it does not start, for the reason above")

    def _supervise(self) -> None:
        """Start children that are due, sleep, and notice those that ended, until a signal to stop arrives."""
        while True:
            for child in self.children:
                child.start_if_due()
            due = [child.due_s for child in self.children if child.due_s is not None]
            pause_s = max(0.0, min(due) - monotonic_s()) if due else 3_600.0
            woken = signal.sigtimedwait(self.waking, pause_s)
            if woken is not None and woken.si_signo in self.stopping:
                return
            for child in self.children:
                child.notice_end()

    def _stop(self) -> None:
        """Stop the web workers first, so that nothing new comes in, then the background process after a last pass, then the database."""
        for listener in (*self.listeners, *self.internal):
            listener.close()
        self._end(self.web, WEB_STOP_S)
        self._end(self.background, BACKGROUND_STOP_S)
        for child in self.database:
            child.due_s = None
        if self.cluster is not None:
            self.cluster.stop()

    def _end(self, children: Iterable[Child], timeout_s: float) -> None:
        """Send TERM, and KILL to those still alive after `timeout_s`, or at once when the operator signals a second time."""
        for child in children:
            child.signal(signal.SIGTERM)
        deadline = monotonic_s() + timeout_s
        while living := [each for each in children if each.process is not None and each.process.poll() is None]:
            woken = signal.sigtimedwait(self.waking, max(0.0, deadline - monotonic_s()))
            if woken is None or woken.si_signo in self.stopping:
                for child in living:
                    say(f"{child.name} did not end in time and is killed")
                    child.signal(signal.SIGKILL)
                    assert child.process is not None
                    child.process.wait()
