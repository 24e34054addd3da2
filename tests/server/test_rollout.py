"""Two web workers: a changed setting of a source holds for the next message at either as soon as `PATCH` is answered, and both have the internal address."""

import hmac
import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.served import Served, free_port, serve

ROUNDS = 8
MESSAGES = 6
"""Messages after each change; each over a connection of its own, so that both workers take some."""


def send(url: str, header: str, secret: str, body: bytes) -> int:
    """The status of a signed message."""
    signature = hmac.digest(secret.encode(), body, "sha256").hex()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", header: signature})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture(scope="module")
def internal() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, internal: str) -> Iterator[Served]:
    """Two workers, each of which has the internal address too."""
    with serve(tmp_path_factory.mktemp("two"), ARIANE_WORKERS="2", ARIANE_INTERNAL_ADDRESS=internal) as served:
        yield served


def test_a_changed_secret_signature_and_mapping_hold_for_the_next_message_on_both_workers(served: Served) -> None:
    source = served.call("POST", "/v1/sources", {"platform": "generic", "secrets": ["the-first-secret"]})
    for number in range(ROUNDS):
        secret, header, place = f"the-secret-number-{number}", f"X-Signature-{number}", f"/net_{number}"
        rule = {"read": "order", "order_id": "/id", "net": place, "currency": {"const": "EUR"}}
        change = {
            "secrets": [secret],
            "settings": {"signature": {"header": header}, "mapping": {"amounts": "minor", "rules": [rule]}},
            "sample": {"id": "1", f"net_{number}": 5},
        }
        served.call("PATCH", f"/v1/sources/{source['id']}", change)
        # The same amount stands where the mapping before looked, and is another one.
        bodies = [
            json.dumps({"id": f"o-{number}-{each}", f"net_{number}": 500 + number, f"net_{number - 1}": 1}).encode()
            for each in range(MESSAGES)
        ]
        assert [send(source["url"], header, secret, body) for body in bodies] == [200] * MESSAGES
        assert send(source["url"], header, f"the-secret-number-{number - 1}", bodies[0]) == 401
        # A message is read by the settings that hold when it is recorded, so the next change waits for that.
        path = f"/v1/conversions?limit={MESSAGES}"
        wanted = [500 + number] * MESSAGES
        served.until(lambda: [order["net_minor"] for order in served.call("GET", path)["data"]] == wanted)  # noqa: B023
    served.call("DELETE", f"/v1/sources/{source['id']}")
    assert {send(source["url"], header, secret, bodies[0]) for _ in range(MESSAGES)} == {404}


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_metrics_and_docs_move_to_the_internal_address_of_every_worker(served: Served, internal: str) -> None:
    for path in ("/metrics", "/docs", "/openapi.json"):
        for _ in range(MESSAGES):  # each over a connection of its own
            assert status(served.url + path) == 404
            assert status(f"http://{internal}{path}") == 200
    # What is tried out in /docs speaks to the address that it came from.
    assert status(f"http://{internal}/v1/brand") == 401
    assert internal in (served.data.parent / "serve.log").read_text()
