"""The launch day, small, against a running service: its own books and the report agree to the minor unit."""

import os
import subprocess
from pathlib import Path

from tests.served import ARIANE, serve


def test_the_demo_finds_the_running_service_and_ends_without_differences(tmp_path: Path) -> None:
    with serve(tmp_path) as served:
        port = served.url.rpartition(":")[2]
        environment = {**os.environ, "PORT": port, "ARIANE_DATA": str(served.data), "COLUMNS": "100"}
        command = [ARIANE, "demo", "--clicks", "400", "--orders", "80", "--seed", "7"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "0 differences" in done.stdout
        assert "Léa Martin" in done.stdout


def test_a_wrong_figure_makes_the_demo_fail() -> None:
    from app.demo.play import _differ

    assert _differ("totals", {"net_minor": 100}, {"net_minor": 100}) == []
    assert _differ("totals", {"net_minor": 100}, {"net_minor": 99}) == ["totals: net_minor is 99, the ledger says 100"]
    assert _differ("day 2026-11-22", {"clicks": 3}, {}) == ["day 2026-11-22: clicks is None, the ledger says 3"]
