"""Goal: nobody gives way but the processes of our own PostgreSQL."""

import os
import sys

import asyncpg
import pytest

from app.directory.lookup import Directory
from app.server import priority
from app.server.background import BackgroundProcess
from app.settings import Settings


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux weighs processes one by one")
async def test_a_server_that_is_not_the_services_own_is_left_alone_though_it_looks_like_a_sibling(
    pool: asyncpg.Pool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As init's other child it does to `ariane work`: the tests' server is our child, so we say that we are our own parent."""
    changed: list[int] = []
    monkeypatch.setattr(os, "getppid", os.getpid)
    monkeypatch.setattr(priority, "lower_priority", changed.append)
    monkeypatch.setattr(priority, "KERNEL_PAUSE_S", 0)

    async def lower_priority(*, embedded: bool) -> list[int]:
        changed.clear()
        for step in BackgroundProcess(settings, pool, Directory(settings), embedded=embedded).tasks():
            if step.name == "priority":
                await step.run()
        return list(changed)

    assert await lower_priority(embedded=False) == []
    ours = await lower_priority(embedded=True)
    async with pool.acquire() as connection:
        assert connection.get_server_pid() in ours
    assert os.getpid() not in ours
