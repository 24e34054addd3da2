"""Examples in the README and the pages are run against the real service, as a reader would type them."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from app.intake.platforms.postback.presets import PRESETS
from tests.served import Served, serve

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARKED = re.compile(r"<!-- run: ([\w-]+) -->\n\s*```sh\n(.*?)\n\s*```", flags=re.DOTALL)
LINKED = re.compile(r"\]\((?!https?:)([^)#]+)")

# curl says nothing of an error status by itself.
STRICT = 'set -euo pipefail\ncurl() { command curl --fail-with-body --max-time 20 "$@"; echo; }\n'


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory):
    with serve(tmp_path_factory.mktemp("docs")) as running:
        yield running


def example(name: str) -> str:
    for page in PAGES:
        for found, script in MARKED.findall(page.read_text()):
            if found == name:
                return re.sub(r"^   ", "", script, flags=re.MULTILINE)
    raise AssertionError(f"no page has an example {name}")


def type_in(script: str, served: Served, **variables: str) -> str:
    environment = {"PATH": os.environ["PATH"], "KEY": served.secret_key, "URL": served.url, **variables}
    done = subprocess.run(
        ["bash", "-c", STRICT + script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_first_steps_of_the_readme_end_in_a_report(served: Served) -> None:
    output = type_in(example("first-steps"), served)
    assert re.search(r"location: https://shop\.example/serum\?ariane=clk_\w+", output, flags=re.IGNORECASE)
    answers = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    order = next(each for each in answers if each.get("order_id") == "1001" and "attribution" in each)
    assert order["attribution"]["verdict"] == "attributed"
    assert order["attribution"]["method"] == "code"
    report = answers[-1]
    assert report["totals"]["gross_minor"] == 9000
    assert report["totals"]["refunds_minor"] == 1500
    assert report["totals"]["cost_minor"] == 50000
    assert [row["key"]["influencer"]["name"] for row in report["rows"]] == ["Zoé Martin"]


def test_the_generic_webhook_of_its_page_is_recorded(served: Served) -> None:
    source = served.call("POST", "/v1/sources", {"platform": "generic", "secrets": ["a-long-random-secret"]})
    type_in(example("generic-webhook"), served, HOOK_URL=source["url"])
    found = served.until(lambda: served.call("GET", "/v1/conversions?order_id=1002")["data"])
    assert found[0]["net_minor"] == 4500


def test_the_postback_of_its_page_is_recorded_with_its_refund(served: Served) -> None:
    made = {"platform": "postback", "secrets": ["a-long-random-token"], "settings": {"preset": "ariane"}}
    source = served.call("POST", "/v1/sources", made)
    type_in(example("postback"), served, HOOK_URL=source["url"])
    [found] = served.until(
        lambda: [each for each in served.call("GET", "/v1/conversions?order_id=1003")["data"] if each["refunded_minor"]]
    )
    assert (found["net_minor"], found["refunded_minor"], found["currency"]) == (4500, 1500, "EUR")


def test_the_page_of_postbacks_shows_the_template_of_every_preset() -> None:
    page = (ROOT / "docs" / "connect" / "postback.md").read_text()
    rows = dict(re.findall(r"^ +\| `(\w+)` \| `([^`]+)` \|$", page, flags=re.MULTILINE))
    assert rows == {name: preset.template for name, preset in PRESETS.items()}


def test_the_woocommerce_shop_of_its_page_is_connected(served: Served) -> None:
    source = json.loads(type_in(example("woocommerce-source"), served))
    type_in(example("woocommerce-webhook"), served, HOOK_URL=source["url"])
    [found] = served.until(lambda: served.call("GET", "/v1/conversions?order_id=5031")["data"])
    assert (found["status"], found["net_minor"], found["refunded_minor"]) == ("approved", 4000, 1000)
    assert found["occurred_at"].startswith("2026-11-20T09:30:00")


def test_the_mapping_of_the_generic_page_is_tried_kept_and_read(served: Served) -> None:
    tried = json.loads(type_in(example("mapping-check"), served))
    assert tried["unfound"] == []
    [report] = tried["read"]["reports"]
    assert (report["order_id"], report["net_minor"], report["codes"]) == ("1004", 4_999, ["LEA10"])
    source = json.loads(type_in(example("mapping-source"), served))
    type_in(example("mapping-webhook"), served, HOOK_URL=source["url"])
    found = served.until(lambda: served.call("GET", "/v1/conversions?order_id=1005")["data"])
    assert found[0]["net_minor"] == 4_500


@pytest.mark.parametrize("preset", ["paddle", "prestashop"])
def test_a_preset_is_connected_as_its_page_says(served: Served, preset: str) -> None:
    source = json.loads(type_in(example(f"{preset}-source"), served))
    assert source["settings"] == {"preset": preset}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in LINKED.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
