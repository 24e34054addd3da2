"""A data directory is lost: what its page says to save is saved, typed in as it stands, and brings all of it back."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.served import Served, free_port, serve
from tests.test_docs import example, type_in

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not os.environ.get("ARIANE_TESTS_LONG"), reason="three starts of the service: make faults"),
]


def test_a_dump_is_made_and_restored_as_the_page_of_operations_says(tmp_path: Path) -> None:
    with serve(tmp_path) as served:
        make_and_restore(served, tmp_path)


def make_and_restore(served: Served, tmp_path: Path) -> None:
    order = served.call("POST", "/v1/conversions", {"order_id": "kept", "net_minor": 1_000, "currency": "EUR"})
    source = served.call("POST", "/v1/sources", {"platform": "generic", "secrets": ["a-long-random-secret"]})
    environment = f"set -a\ncd {tmp_path}\nln -s {sys.prefix} .venv\nHOST=127.0.0.1 ARIANE_DATA={served.data}\n"
    script = example("restore").replace("8009", str(free_port()))
    type_in(f"{environment}{example('backup')}\n{script}", served, PYTHONPATH=os.environ.get("PYTHONPATH", ""))
    place = tmp_path / "another place"
    place.mkdir()
    (tmp_path / "restored").rename(place / "data")
    with serve(place) as restored:
        before = replace(restored, secret_key=served.secret_key)
        assert before.call("GET", f"/v1/conversions/{order['id']}")["net_minor"] == 1_000
        type_in(example("generic-webhook"), before, HOOK_URL=source["url"].replace(served.url, restored.url))
        assert before.until(lambda: before.call("GET", "/v1/conversions?order_id=1002")["data"])
