"""The API over ASGI, with the real PostgreSQL behind it, and a client per brand."""

import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import event

from app.api.examples import ANSWERS
from app.server.app import create_api
from app.settings import Settings
from tests.api.story import Story, tell, written
from tests.cast import Brand
from tests.served import Served

WRITE_VARIABLE = "ARIANE_TESTS_WRITE_EXAMPLES"
"""Set by `make examples`: the answers of the story are written into the repository."""


@pytest.fixture(scope="session")
async def service(settings: Settings) -> AsyncIterator[FastAPI]:
    """The API as a web worker runs it."""
    api = create_api(settings)
    async with api.router.lifespan_context(api):
        yield api


@pytest.fixture
async def api(service: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client without a key."""
    async with client(service) as opened:
        yield opened


@pytest.fixture
async def as_alice(service: FastAPI, alice: Brand) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that speaks for Alice's brand."""
    async with client(service, alice) as opened:
        yield opened


@pytest.fixture
async def as_charlie(service: FastAPI, charlie: Brand) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that speaks for the rival brand."""
    async with client(service, charlie) as opened:
        yield opened


def client(service: FastAPI, brand: Brand | None = None) -> httpx2.AsyncClient:
    """A client of the service, with a brand's secret key or none."""
    headers = {} if brand is None else brand.auth
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=service), base_url="https://go.test", headers=headers)


@dataclass
class Statements:
    """What SQLAlchemy sent while it was listened to."""

    texts: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.texts)


@pytest.fixture
def statements(service: FastAPI) -> Any:
    """Every statement from here to the end of the test."""
    recorded = Statements()
    engine = service.state.engine.sync_engine

    def note(_c: object, _cursor: object, text: str, *_rest: object) -> None:
        recorded.texts.append(text)

    event.listen(engine, "before_cursor_execute", note)
    yield recorded
    event.remove(engine, "before_cursor_execute", note)


@pytest.fixture(scope="session")
def story(whole: Served) -> Story:
    """A request for every operation, played once over the wire by a brand of its own."""
    told = tell(whole)
    if os.environ.get(WRITE_VARIABLE):
        ANSWERS.write_text(json.dumps(written(told), ensure_ascii=False, indent=1) + "\n", "utf-8")
    return told
