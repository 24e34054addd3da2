"""Every public door does what its OpenAPI description says, for requests nobody would think of (schemathesis generates them)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.served import Served
from tests.tracking.rows import fresh_slug

if TYPE_CHECKING:
    from schemathesis import Case

EXAMPLES = 10
DOCUMENT = json.loads((Path(__file__).resolve().parents[2] / "openapi" / "openapi.json").read_text())
DOORS = [(path, method) for path, item in DOCUMENT["paths"].items() if not path.startswith("/v1/") for method in item]


@dataclass(frozen=True)
class Known:
    """What no generated request would name by itself, by the parameter that says it."""

    slug: list[str]
    token: list[str]
    k: list[str]


@pytest.fixture(scope="module")
def known(whole: Served) -> Known:
    """Links, one of them disabled, and sources: by signature and by query."""
    erin = whole.of("Erin")
    erin.call("POST", "/v1/campaigns", {"name": "Launch", "objective": "sales", "external_id": "launch"})
    erin.call("POST", "/v1/influencers", {"name": "Lea", "external_id": "lea"})
    pair = {"campaign_id": "ext_launch", "influencer_id": "ext_lea", "destination_url": "https://shop.test/"}
    live, disabled = fresh_slug(), fresh_slug()
    erin.call("POST", "/v1/links", {**pair, "slug": live})
    made = erin.call("POST", "/v1/links", {**pair, "slug": disabled})
    erin.call("POST", f"/v1/links/{made['id']}/disable")
    signed = erin.call("POST", "/v1/sources", {"platform": "shopify", "secrets": ["a-secret-of-the-shop"]})
    by_query = erin.call("POST", "/v1/sources", {"platform": "postback"})
    return Known([live, live.upper(), disabled], [signed["token"], by_query["token"]], [erin.publishable_key])


@pytest.fixture(scope="module")
def doors(whole: Served) -> Any:
    """The doors as they are described by the running service."""
    # Dear to import: only the process that asks pays it, not every one that collects this file.
    import schemathesis

    return schemathesis.openapi.from_url(f"{whole.url}/openapi.json").exclude(path_regex="^/v1/")


@pytest.mark.parametrize(("path", "method"), DOORS, ids=lambda part: part)
def test_a_door_keeps_its_word(doors: Any, known: Known, path: str, method: str) -> None:
    from schemathesis import checks

    # Not negative_data_rejection: whatever is sent is taken, because a pixel must never fail in a shop's page.
    checked = [
        checks.not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]

    @hypothesis_settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=doors[path][method].as_strategy(), draw=st.data())
    def keeps(case: "Case", draw: st.DataObject) -> None:
        for sent in (case.path_parameters, case.query):
            for name in sorted({"slug", "token", "k"} & set(sent)):
                sent[name] = draw.draw(st.sampled_from([*getattr(known, name), sent[name]]))
        case.call_and_validate(checks=checked, allow_redirects=False)

    keeps()
