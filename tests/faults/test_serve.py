"""The real `ariane serve`: comes up, survives its children's deaths, takes them along in its own, and stops without losing a request."""

import asyncio
import http.client
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

import asyncpg
import pytest

from app.database.embedded import Cluster
from app.server.priority import NICENESS
from tests.faults.test_postgres import lives, memory

pytestmark = pytest.mark.faults
START_S = 60.0


class Service:
    """A running `ariane serve` on a port of its own. started_s: how long a start took, where a test measures it."""

    started_s = 0.0

    def __init__(self, data: Path, *, workers: int = 1, port: int = 0) -> None:
        self.output = (data.parent / f"{data.name}.out").open("a+")
        self.errors = (data.parent / f"{data.name}.err").open("a+")
        for file in (self.output, self.errors):
            file.truncate(0)
        command = ["serve", "--port", str(port), "--data", str(data), "--workers", str(workers)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", *command], stdout=self.output, stderr=self.errors, env=environment()
        )
        try:
            self.port = int(self.wait_for(r"ariane: http://127\.0\.0\.1:(\d+) ", self.errors.name)[1])
        except AssertionError:
            self.process.kill()
            raise

    def wait_for(self, pattern: str, path: str, timeout_s: float = START_S) -> re.Match[str]:
        """What `pattern` finds in the service's output, as soon as it is there."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if found := re.search(pattern, Path(path).read_text()):
                return found
            assert self.process.poll() is None, Path(self.errors.name).read_text()
            time.sleep(0.01)
        raise AssertionError(
            f"{pattern!r} did not appear: {Path(path).read_text()} {Path(self.errors.name).read_text()}"
        )

    def get(self, path: str, key: str = "") -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
            return connection.getresponse().status
        finally:
            connection.close()

    def wait_until(self, path: str, status: int, key: str = "", timeout_s: float = START_S) -> None:
        """Return once `path` answers `status`. A request that is cut off by a kill is asked again."""
        deadline = time.monotonic() + timeout_s
        seen: object = None
        while time.monotonic() < deadline:
            try:
                seen = self.get(path, key)
            except (OSError, http.client.HTTPException) as error:
                seen = error
            if seen == status:
                return
            time.sleep(0.02)
        raise AssertionError(f"{path} answered {seen}, not {status}: {Path(self.errors.name).read_text()}")

    def children(self, word: str = "") -> dict[int, str]:
        """The pids and command lines of its children whose command line contains `word`."""
        found = {}
        for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended meanwhile
            if word in line:
                found[int(pid)] = line
        return found

    def wait_for_children(self, word: str, count: int, *, other_than: int) -> None:
        """Return once `count` children with `word` in their command line run, none of them `other_than`."""
        deadline = time.monotonic() + START_S
        while len(found := self.children(word)) != count or other_than in found:
            assert time.monotonic() < deadline, Path(self.errors.name).read_text()
            time.sleep(0.01)

    def stop(self) -> float:
        """How long an ordinary stop took, in seconds. It must end with 0."""
        before = time.monotonic()
        self.process.terminate()
        assert self.process.wait(20) == 0, Path(self.errors.name).read_text()
        return time.monotonic() - before

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.output.close()
        self.errors.close()


def environment() -> dict[str, str]:
    """Ours without a setting of the service: the tests decide."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ARIANE_")}
    return {name: value for name, value in ours.items() if name not in ("DATABASE_URL", "HOST", "PORT", "PG_BIN")}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments], capture_output=True, text=True, timeout=60, env=environment()
    )


class Load:
    """Threads that ask without a pause, over connections kept alive or over a new one each time, until told to stop or refused."""

    def __init__(self, port: int, *, threads: int, keep_alive: bool, path: str = "/healthz", status: int = 200) -> None:
        self.port = port
        self.path, self.status = path, status
        self.keep_alive = keep_alive
        self.answered = 0
        self.lost: list[str] = []
        self.refused: list[str] = []
        self.done = threading.Event()
        self.threads = [threading.Thread(target=self._ask) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self.done.is_set():
            if connection.sock is None:
                try:
                    connection.connect()
                except OSError as error:
                    self.refused.append(repr(error))
                    return
            try:
                connection.request("GET", self.path)
                answer = connection.getresponse()
                answer.read()
                assert answer.status == self.status
                self.answered += 1
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                connection.close()
            if not self.keep_alive:
                connection.close()
        connection.close()

    def wait_for(self, answered: int) -> None:
        """Return once so many requests were answered."""
        deadline = time.monotonic() + START_S
        while self.answered < answered:
            assert time.monotonic() < deadline, f"{self.answered} answered, lost {self.lost}, refused {self.refused}"
            time.sleep(0.01)

    def finish(self) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join(15)


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """A data directory after its first start, with the brand's keys in `keys`; every test runs on it, one after the other."""
    with tempfile.TemporaryDirectory(prefix="ariane-serve-", dir=memory()) as folder:
        data = Path(folder) / "data"
        with Service(data) as service:
            # No terminal: the keys are in a file of their owner's alone, and its path is the last line.
            path = Path(service.wait_for(r"(/\S+first-keys\.txt)\n\Z", service.output.name)[1])
            assert path.stat().st_mode & 0o777 == 0o600
            assert "sk_" not in Path(service.output.name).read_text()
            greeting = re.search(r"(?s)secret key +(sk_\S+)\n.*publishable key +(pk_\S+)\n.*/docs\n", path.read_text())
            assert greeting is not None
            service.wait_until("/v1/keys", 200, greeting[1])
            for line in re.findall(r"^  curl .*$", greeting[0], re.M):
                send(line)
            service.wait_until("/lea", 302)
        (Path(folder) / "key").write_text(greeting[1])
        yield data


@pytest.fixture(scope="module")
def key(data: Path) -> str:
    """The secret key that the first start printed."""
    return (data.parent / "key").read_text()


@pytest.fixture(scope="module")
def service(data: Path) -> Iterator[Service]:
    """The service of the tests that leave it as they found it; a start of everything costs seconds of CPU."""
    with Service(data, workers=2) as service:
        service.started_s = time.monotonic()
        service.wait_until("/lea", 302)
        service.started_s = time.monotonic() - service.started_s
        yield service


def send(curl: str) -> None:
    """What a line of curl would send; it must be answered with 201."""
    _, _, *rest = shlex.split(curl)
    headers = dict(rest[i + 1].split(": ", 1) for i, word in enumerate(rest) if word == "-H")
    url = next(word for word in rest if word.startswith("http://"))
    body = rest[rest.index("-d") + 1].encode()
    json.loads(body)
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as answer:
        assert answer.status == 201


def test_a_later_start_redirects_at_once_and_prints_no_key(service: Service, key: str) -> None:
    assert service.started_s < 5, (
        "design asks for 0.6 s on a quiet machine; this only catches a start that waits for the API"
    )
    service.wait_until("/readyz", 200)
    service.wait_until("/v1/keys", 200, key)
    assert service.get("/healthz") == 200
    assert "sk_" not in Path(service.output.name).read_text()
    assert not service.children("app.server.first_start")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux weighs processes one by one")
def test_those_who_work_while_nobody_waits_give_way_to_the_doors_and_the_api(
    service: Service, data: Path, key: str
) -> None:
    service.wait_until("/v1/keys", 200, key)
    backends = asyncio.run(connections(data))
    deadline = time.monotonic() + START_S
    while priorities(backends["ariane-worker"]) != {NICENESS}:
        assert time.monotonic() < deadline, backends
        time.sleep(0.1)
    assert priorities(backends["ariane-directory"]) == {0}
    (worker,) = service.children("app.server.background")
    assert priorities([worker]) == {NICENESS}


async def connections(data: Path) -> dict[str, list[int]]:
    """The pids of the database's processes, by who connected."""
    connection = await asyncpg.connect(Cluster(data).dsn)
    rows = await connection.fetch(
        "SELECT application_name, array_agg(pid) FROM pg_stat_activity WHERE usesysid IS NOT NULL GROUP BY 1"
    )
    await connection.close()
    return dict(rows)


def priorities(pids: Iterable[int]) -> set[int]:
    """Of a process, and of the session that it is, which Linux weighs first."""
    found = set()
    for pid in pids:
        found.add(os.getpriority(os.PRIO_PROCESS, pid))
        if (session := Path(f"/proc/{pid}/autogroup")).exists():
            found.add(int(session.read_text().split()[-1]))
    return found


def test_a_dead_worker_is_replaced_and_no_connection_is_refused(service: Service) -> None:
    service.wait_until("/readyz", 200)
    load = Load(service.port, threads=4, keep_alive=False)
    before = service.children("app.server.web_worker")
    os.kill(min(before), signal.SIGKILL)
    service.wait_for(r"web worker \d killed by SIGKILL", service.errors.name)
    service.wait_for_children("app.server.web_worker", 2, other_than=min(before))
    answered = load.answered
    load.wait_for(answered + 300)
    load.finish()
    assert load.refused == []
    assert len(load.lost) <= 4  # what the killed worker had in hand, one a thread at most


def test_a_worker_that_somebody_ends_by_hand_loses_nothing_and_its_successor_answers(service: Service) -> None:
    service.wait_until("/readyz", 200)
    load = Load(service.port, threads=4, keep_alive=True)
    load.wait_for(100)
    before = service.children("app.server.web_worker")
    os.kill(min(before), signal.SIGTERM)
    service.wait_for_children("app.server.web_worker", len(before), other_than=min(before))
    load.wait_for(load.answered + 300)
    load.finish()
    assert (load.lost, load.refused) == ([], [])


def test_a_dead_database_and_a_dead_background_process_come_back_while_redirects_go_on(
    service: Service, key: str
) -> None:
    service.wait_until("/v1/keys", 200, key)
    assert {service.get("/lea") for _ in range(20)} == {302}  # each worker has read the link by now
    for word in ("bin/postgres", "app.server.background"):
        dead = min(service.children(word))
        os.kill(dead, signal.SIGKILL)
        assert service.get("/lea") == 302
        service.wait_for_children(word, 1, other_than=dead)
    service.wait_for("PostgreSQL killed by SIGKILL", service.errors.name)
    service.wait_until("/v1/keys", 200, key)


def test_a_taken_port_and_a_second_instance_are_refused_with_a_sentence(
    service: Service, data: Path, tmp_path: Path, key: str
) -> None:
    taken = run("serve", "--port", str(service.port), "--data", str(tmp_path))
    assert taken.returncode == 1
    assert f"port {service.port} on 127.0.0.1 is taken by another program" in taken.stderr
    assert "Traceback" not in taken.stderr
    second = run("serve", "--port", "0", "--data", str(data))
    assert second.returncode == 1
    assert "another `ariane serve` runs on" in second.stderr
    service.wait_until("/v1/keys", 200, key)


def test_a_port_that_a_stranger_shares_on_purpose_is_refused_too(tmp_path: Path) -> None:
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        refused = run("serve", "--port", str(stranger.getsockname()[1]), "--data", str(tmp_path))
    assert refused.returncode == 1
    assert "is taken by another program" in refused.stderr


def test_keys_are_made_beside_a_running_service(service: Service, data: Path) -> None:
    made = json.loads(run("keys", "create", "--brand", "Beside", "--json", "--data", str(data)).stdout)
    assert set(made) == {"brand_id", "secret_key", "publishable_key"}
    service.wait_until("/v1/keys", 200, made["secret_key"])


def test_stopping_under_load_loses_no_request(service: Service) -> None:
    service.wait_until("/readyz", 200)
    loads = [
        Load(service.port, threads=2, keep_alive=keep_alive, path=path, status=status)
        for path, status in (("/healthz", 200), ("/lea", 302))
        for keep_alive in (True, False)
    ]
    idle = socket.create_connection(("127.0.0.1", service.port))
    for load in loads:
        load.wait_for(200)
    took_s = service.stop()
    for load in loads:
        load.finish()
    idle.close()
    assert [load.lost for load in loads] == [[]] * len(loads)
    assert took_s < 5, "design asks for 2 s on a quiet machine"


def test_keys_are_made_where_no_service_runs(service: Service, data: Path) -> None:
    assert service.process.poll() == 0
    made = run("keys", "create", "--brand", "Beside", "--scopes", "read", "--data", str(data))
    assert re.search(r"^secret key +sk_\S{43}$", made.stdout, re.M), made.stderr


def test_killing_the_parent_leaves_nothing_and_the_next_start_is_whole(data: Path, key: str) -> None:
    with Service(data) as service:
        service.wait_until("/v1/keys", 200, key)
        pids = list(service.children())
        assert len(pids) == 3
        service.process.kill()
        deadline = time.monotonic() + 2
        while any(lives(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.005)
        assert not [pid for pid in pids if lives(pid)]
    with Service(data) as service:
        service.wait_until("/v1/keys", 200, key)
