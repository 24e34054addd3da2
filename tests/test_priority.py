"""Goal: nobody gives way but the processes of our own PostgreSQL."""

from typing import Any, cast

import asyncpg
import pytest

from app import priority
from app.priority import Backends

NOBODY_HERE = 2**22 + 1
"""Above the largest number Linux gives to a process."""


class ServerElsewhere:
    """A pool on a server in another container, whose numbers mean somebody else here, or nobody."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.asked = 0

    def acquire(self) -> "ServerElsewhere":
        return self

    async def __aenter__(self) -> "ServerElsewhere":
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    def get_server_pid(self) -> int:
        return self.pid

    async def fetch(self, _: str) -> list[dict[str, Any]]:
        self.asked += 1
        return [{"pid": self.pid}]


@pytest.mark.parametrize("pid", [NOBODY_HERE, 1])
async def test_to_the_first_process_of_a_container_the_numbers_of_a_server_elsewhere_are_nobodys(
    pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed: list[int] = []
    monkeypatch.setattr("os.getppid", lambda: 0)
    monkeypatch.setattr(priority, "give_way", changed.append)
    server = ServerElsewhere(pid)
    await Backends().give_way(cast(asyncpg.Pool, server))
    assert (changed, server.asked) == ([], 0)
