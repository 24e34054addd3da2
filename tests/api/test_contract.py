"""Every operation does what its OpenAPI description says, for requests nobody would think of (schemathesis generates them)."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings

from app.server.app import create_api
from app.settings import Settings
from tests.cast import Brand, create_brand

if TYPE_CHECKING:
    from schemathesis import Case

EXAMPLES = 5


@pytest.fixture(scope="module")
def erin(dsn: str) -> Brand:
    """A brand of its own: generated requests change whatever they find."""
    return asyncio.run(_create(dsn))


async def _create(dsn: str) -> Brand:
    connection = await asyncpg.connect(dsn)
    brand = await create_brand(cast(asyncpg.Pool, connection), "Erin")
    await connection.close()
    return brand


@pytest.fixture(scope="module")
def contract(settings: Settings) -> Iterator[Any]:
    """The API with its description, on an event loop of its own."""
    # A second of the processor to import: only the process that asks pays it, not every one that collects this file.
    import schemathesis
    from schemathesis.python.asgi import shutdown_lifespans

    yield schemathesis.openapi.from_asgi("/openapi.json", create_api(settings)).include(path_regex="^/v1/")
    shutdown_lifespans()


DOCUMENT = json.loads((Path(__file__).resolve().parents[2] / "openapi" / "openapi.json").read_text())
OPERATIONS = [(path, method) for path, item in DOCUMENT["paths"].items() if path.startswith("/v1/") for method in item]


@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=lambda part: part)
def test_an_operation_keeps_its_word(contract: Any, erin: Brand, path: str, method: str) -> None:
    from schemathesis import checks

    checked = [
        checks.not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
        checks.negative_data_rejection,
    ]

    @hypothesis_settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=contract[path][method].as_strategy())
    def keeps(case: "Case") -> None:
        case.call_and_validate(headers=erin.auth, checks=checked)

    keeps()
