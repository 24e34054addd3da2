"""A database that hangs: it neither answers nor refuses. Nobody waits long for it, redirects go on, and the service stops."""

import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from app.database.embedded import Cluster
from tests.served import Served, serve

pytestmark = pytest.mark.faults

ANSWER_MAX_S = 5.0
STOP_MAX_S = 10.0
ORDER = {"order_id": "1001", "net_minor": 4990, "currency": "EUR", "codes": ["LEA10"]}
REQUESTS: list[tuple[str, str, Any]] = [
    ("GET", "/v1/brand", None),
    ("GET", "/v1/links", None),
    ("POST", "/v1/campaigns", {"name": "Autumn", "objective": "sales"}),
    ("POST", "/v1/conversions", ORDER),
    ("GET", "/v1/reports/summary?group_by=influencer", None),
    ("POST", "/v1/links/bulk", {"links": []}),
]
AT_ONCE = 12
"""Requests of each kind: more than the API has connections."""


def tree(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


@contextmanager
def hanging(pid: int) -> Iterator[None]:
    """The server's processes are stopped: the kernel takes connections and bytes for them, and nobody answers."""
    stopped = tree(pid)
    for each in stopped:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in stopped:
            try:
                os.kill(each, signal.SIGCONT)
            except ProcessLookupError:
                continue


def ask(served: Served, method: str, path: str, body: Any) -> tuple[int, float]:
    """Status and seconds."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", int(served.url.rpartition(":")[2]), timeout=60)
    headers = {"Authorization": f"Bearer {served.secret_key}", "Content-Type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    status = connection.getresponse().status
    connection.close()
    return status, time.monotonic() - began


def ask_all(served: Served) -> list[tuple[str, int, float]]:
    """Every request AT_ONCE times, all at the same time: method and path, status, seconds."""
    found: list[tuple[str, int, float]] = []

    def one(method: str, path: str, body: Any) -> None:
        with suppress(OSError, http.client.HTTPException):  # the service stops
            found.append((f"{method} {path}", *ask(served, method, path, body)))

    threads = [threading.Thread(target=one, args=request) for request in REQUESTS for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def stop_takes_s(served: Served) -> float:
    """How long a stop takes in the middle of requests."""
    threading.Thread(target=ask_all, args=(served,), daemon=True).start()
    time.sleep(0.2)
    began = time.monotonic()
    os.kill(served.pid, signal.SIGTERM)
    while ") Z " not in Path(f"/proc/{served.pid}/stat").read_text():  # a child of ours that nobody waits for yet
        assert time.monotonic() - began < 60
        time.sleep(0.02)
    return time.monotonic() - began


def prepared(served: Served) -> str:
    """A link that was clicked once."""
    campaign = served.call("POST", "/v1/campaigns", {"name": "Serum", "objective": "sales", "external_id": "serum"})
    influencer = served.call("POST", "/v1/influencers", {"name": "Lea", "external_id": "lea"})
    link = {
        "campaign_id": campaign["id"],
        "influencer_id": influencer["id"],
        "destination_url": "https://shop.example/",
        "slug": "serum",
    }
    served.call("POST", "/v1/links", link)
    assert ask(served, "GET", "/serum", None)[0] == 302
    return "/serum"


def test_a_hanging_database_holds_no_request_and_no_stop_and_is_used_again_when_it_answers(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "database")
    with cluster.run() as dsn, serve(tmp_path, DATABASE_URL=dsn) as served:
        assert cluster.process is not None
        link = prepared(served)
        assert {status for _, status, _ in ask_all(served)} <= {200, 201, 422}
        with hanging(cluster.process.pid):
            for _ in range(2):  # at the moment at which it begins, and while it lasts
                found = ask_all(served)
                slow = sorted(each for each in found if each[2] > ANSWER_MAX_S)
                assert not slow, (len(slow), len(found), slow[:3])
                assert {status for _, status, _ in found} == {503}
                assert ask(served, "GET", link, None)[0] == 302
        served.until(lambda: ask(served, "GET", "/v1/brand", None)[0] == 200)
        assert {status for _, status, _ in ask_all(served)} <= {200, 201, 422}
        with hanging(cluster.process.pid):
            took_s = stop_takes_s(served)
            assert took_s < STOP_MAX_S
            print(took_s)


def test_the_service_stops_in_time_also_when_it_is_its_own_database_that_hangs(tmp_path: Path) -> None:
    with serve(tmp_path) as served:
        link = prepared(served)
        (pid,) = (pid for pid in tree(served.pid) if b"postgres\0-D" in Path(f"/proc/{pid}/cmdline").read_bytes())
        with hanging(pid):
            found = ask_all(served)
            assert ({status for _, status, _ in found}, [each for each in found if each[2] > ANSWER_MAX_S]) == (
                {503},
                [],
            )
            assert ask(served, "GET", link, None)[0] == 302
            took_s = stop_takes_s(served)
            assert took_s < STOP_MAX_S
            print(took_s)
