"""Doors that follow the real database, with a data directory of their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.settings import Settings
from app.tracking.doors import Doors
from tests.tracking.asking import running_doors, settings_for


@pytest.fixture
def own(dsn: str, tmp_path: Path) -> Settings:
    """Settings of the doors, under which a test reads the spool they wrote."""
    return settings_for(dsn, tmp_path)


@pytest.fixture
async def doors(own: Settings) -> AsyncIterator[Doors]:
    """Doors that are ready."""
    async with running_doors(own) as doors:
        yield doors
