"""An engine as the API has one."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.database.connections import create_engine
from app.settings import Settings


@pytest.fixture(scope="session")
async def engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """Connections to the shared database through SQLAlchemy."""
    engine = create_engine(settings)
    yield engine
    await engine.dispose()
