"""A client that a stranger's generator made of openapi.json, without a look at our code, goes the way from the campaign to the report."""

import hashlib
import importlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from app.api.examples import read_story
from tests.served import Served

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT, CONFIG = ROOT / "openapi" / "openapi.json", ROOT / "openapi" / "python-client.yaml"
GENERATOR = Path(sys.executable).with_name("openapi-python-client")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ariane" / "clients"


@pytest.fixture(scope="module")
def package() -> Iterator[str]:
    """The name of the generated package, importable; made once for each document."""
    digest = hashlib.sha256(DOCUMENT.read_bytes() + CONFIG.read_bytes()).hexdigest()[:16]
    name = f"ariane_client_{digest}"
    if not (CACHE / name / "__init__.py").exists():
        made = CACHE / f"{name}.{os.getpid()}"
        CACHE.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [GENERATOR, "generate", "--path", DOCUMENT, "--config", CONFIG, "--meta", "none", "--output-path", made],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        told = done.stdout + done.stderr
        assert "will not be generated" not in told, told[:2_000]
        assert "Unable to process schema" not in told, told[:2_000]
        made.rename(CACHE / name)
    sys.path.insert(0, str(CACHE))
    yield name
    sys.path.remove(str(CACHE))


def test_a_generated_python_client_goes_from_the_campaign_to_the_report(
    package: str, whole: Served, request: pytest.FixtureRequest
) -> None:
    served = whole.of("Generated client")
    kind = importlib.import_module(package).AuthenticatedClient
    client = kind(base_url=served.url, token=served.secret_key, raise_on_unexpected_status=True)

    def call(place: str, *path: Any, body: Any = None, **parameters: Any) -> Any:
        """One operation: `links.create_link`, its body made by the model of the name that the operation declares."""
        ask: Callable[..., Any] = importlib.import_module(f"{package}.api.{place}").sync
        if isinstance(body, dict):
            declared = ask.__annotations__["body"]
            model = next(each for each in (declared, *get_args(declared)) if hasattr(each, "from_dict"))
            body = model.from_dict(body)
        given = parameters if body is None else {**parameters, "body": body}
        answer = ask(*path, client=client, **given)
        assert answer is not None, place
        assert type(answer).__name__ != "Problem", f"{place}: {answer}"
        return answer

    request.addfinalizer(client.get_httpx_client().close)
    campaign = call("campaigns.create_campaign", body={"name": "Generated", "objective": "sales"})
    influencer = call("influencers.create_influencer", body={"name": "Léa"})
    pair = {"campaign_id": campaign.id, "influencer_id": influencer.id}
    link = call("links.create_link", body={**pair, "destination_url": "https://shop.example/new"})
    call("codes.create_code", body={**pair, "code": "GENERATED10"})
    call(
        "costs.create_cost",
        body={**pair, "kind": "fee", "amount_minor": 500, "currency": "EUR", "incurred_on": "2026-11-22"},
    )
    assert call("links.read_link", link.id).short_url == link.short_url
    order = call(
        "conversions.report_conversion",
        body={"order_id": "1", "codes": ["generated10"], "net_minor": 4990, "currency": "EUR"},
    )
    assert [credit.collaboration_id for credit in order.attribution.credits_] == [link.collaboration_id]

    (described,) = (step for step in read_story() if step.name == "create_source")
    source = call("sources.create_source", body=described.body)
    trial = call("sources.test_source", source.id, body={})
    assert next(line for line in trial.lines if line.step == "click").ok, trial
    replay = call("deliveries.replay_deliveries", body={"source_id": source.id, "dry_run": True})
    assert (replay.dry_run, replay.recorded + replay.ignored > 0) == (True, True)

    file = "order_id,occurred_at,currency,net,codes\r\n2,2026-11-20T18:00:00Z,EUR,10.00,GENERATED10\r\n"
    payload = importlib.import_module(f"{package}.types").File(payload=io.BytesIO(file.encode()))
    job = call("imports.import_orders", body=payload)
    done = whole.until(lambda: (read := call("jobs.read_job", job.id)).state in ("succeeded", "failed") and read)
    assert done.state == "succeeded", done
    report = whole.until(
        lambda: (read := call("reports.read_summary", group_by=["influencer"])).totals.orders == 2 and read
    )
    assert report.rows[0].key.influencer.name == "Léa"
    assert report.totals.net_minor == 5990
