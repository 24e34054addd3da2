"""Examples in the README and the pages are run against the real service, as a reader would type them."""

import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from app.commands.client import connect
from app.errors import AppError
from app.platforms.postback.presets import PRESETS
from tests.commands.commanding import command
from tests.platforms.test_pixel_signature import sign
from tests.served import ARIANE, Served

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARKED = re.compile(r"<!-- run: ([\w-]+) -->\n\s*```sh\n(.*?)\n\s*```", flags=re.DOTALL)
LINKED = re.compile(r"\]\((?!https?:)([^)#]+)")

# curl says nothing of an error status by itself.
STRICT = 'set -euo pipefail\ncurl() { command curl --fail-with-body --max-time 20 "$@"; echo; }\n'


@pytest.fixture(scope="module")
def served(whole: Served) -> Served:
    return whole.of("Docs")


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
    assert [(row["key"]["influencer"]["name"], row["roi"]) for row in report["rows"]] == [("Léa", -0.85)]


def test_the_generic_webhook_of_its_page_is_recorded(served: Served) -> None:
    source = json.loads(type_in(example("generic-source"), served))
    type_in(example("generic-webhook"), served, HOOK_URL=source["url"])
    found = served.until(lambda: served.call("GET", "/v1/conversions?order_id=1002")["data"])
    assert found[0]["net_minor"] == 4500
    type_in(example("generic-refund"), served, HOOK_URL=source["url"])
    assert (
        served.until(lambda: served.call("GET", "/v1/conversions?order_id=1002")["data"][0]["refunded_minor"]) == 1500
    )


def test_the_postback_of_its_page_is_recorded_with_its_refund(served: Served) -> None:
    source = json.loads(type_in(example("postback-source"), served))
    type_in(example("postback"), served, HOOK_URL=source["url"])
    [found] = served.until(
        lambda: [each for each in served.call("GET", "/v1/conversions?order_id=1003")["data"] if each["refunded_minor"]]
    )
    assert (found["net_minor"], found["refunded_minor"], found["currency"]) == (4500, 1500, "EUR")
    trial = served.call("POST", f"/v1/sources/{source['id']}/test")
    assert trial["ok"], trial["lines"]
    # A token in an address is a password: neither the shop's postback nor our own trial of it writes one into the log.
    log = (served.data.parent / "serve.log").read_text()
    assert "a-long-random-token" not in log
    assert source["token"] not in log


def test_the_page_of_postbacks_shows_the_template_of_every_preset() -> None:
    page = (ROOT / "docs" / "connect" / "postback.md").read_text()
    rows = dict(re.findall(r"^ +\| `(\w+)` \| `([^`]+)` \|$", page, flags=re.MULTILINE))
    assert rows == {name: preset.template for name, preset in PRESETS.items()}


def test_a_person_is_exported_and_erased_as_the_page_says(served: Served, tmp_path: Path) -> None:
    order = {"order_id": "privacy-1", "net_minor": 1000, "currency": "EUR", "customer": {"email": "jane@example.org"}}
    served.call("POST", "/v1/conversions", order)
    jobs = [json.loads(line) for line in type_in(example("privacy"), served).splitlines() if line.startswith("{")]

    def ended(job: dict[str, Any]) -> dict[str, Any]:
        def read() -> Any:
            found = served.call("GET", f"/v1/jobs/{job['id']}")
            return found if found["state"] not in ("queued", "running") else None

        return dict(served.until(read))

    export, erasure = (ended(job)["result"] for job in jobs)
    assert export["found"]["conversions"] == erasure["found"]["conversions"] == 1
    [found] = served.call("GET", "/v1/conversions?order_id=privacy-1")["data"]
    assert found["net_minor"] == 1000
    speaking = {"ARIANE_KEY": served.secret_key, "HOST": "127.0.0.1", "PORT": served.url.rpartition(":")[2]}
    file = tmp_path / "person.json"
    done = command("privacy", "export", "--order", "privacy-1", "--out", str(file), **speaking)
    assert done.returncode == 0, done.stderr
    [record] = json.loads(file.read_text())["records"]
    assert (record["record"], record["customer_key"]) == ("order", None)
    done = command("privacy", "erase", "--order", "privacy-1", "--yes", "--json", **speaking)
    assert json.loads(done.stdout)["result"]["found"]["conversions"] == 1, done.stderr


def test_a_brand_is_deleted_from_the_command_line_by_whoever_names_it(whole: Served) -> None:
    leaving = whole.of("Leaving")
    speaking = {"ARIANE_KEY": leaving.secret_key, "HOST": "127.0.0.1", "PORT": leaving.url.rpartition(":")[2]}
    wrong = command("brand", "delete", "--name", "Staying", **speaking)
    assert (wrong.returncode, "nothing was deleted" in wrong.stderr) == (1, True)
    assert leaving.call("GET", "/v1/jobs")["data"] == []
    done = command("brand", "delete", "--name", "Leaving", **speaking)
    assert done.returncode == 0, done.stderr

    def ended() -> bool:
        try:
            leaving.call("GET", "/v1/brand")
        except AssertionError as error:
            return "401" in str(error)
        return False

    assert leaving.until(ended)


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
    [gross] = json.loads(type_in(example("mapping-gross"), served))["read"]["reports"]
    assert (gross["net_minor"], gross["codes"]) == (8_500, ["LEA10"])
    assert [(each["refund_id"], each.get("amount_minor"), each.get("goods_first")) for each in gross["refunds"]] == [
        ("r-1", 5_040, True),
        ("b-1", None, None),
    ]
    source = json.loads(type_in(example("mapping-source"), served))
    type_in(example("mapping-webhook"), served, HOOK_URL=source["url"])
    found = served.until(lambda: served.call("GET", "/v1/conversions?order_id=1005")["data"])
    assert found[0]["net_minor"] == 4_500
    trial = json.loads(type_in(example("mapping-trial"), served, SOURCE=source["id"]))
    assert trial["ok"], trial["lines"]
    source = json.loads(type_in(example("token-source"), served))
    type_in(example("token-webhook"), served, HOOK_URL=source["url"])
    found = served.until(lambda: served.call("GET", "/v1/conversions?order_id=1007")["data"])
    assert found[0]["net_minor"] == 4_500
    trial = served.call("POST", f"/v1/sources/{source['id']}/test")
    assert trial["ok"], trial["lines"]


@pytest.mark.parametrize(
    "preset", ["lemonsqueezy", "paddle", "polar", "square", "prestashop", "saleor", "shopware", "medusa", "vendure"]
)
def test_a_preset_is_connected_as_its_page_says(served: Served, preset: str) -> None:
    source = json.loads(type_in(example(f"{preset}-source"), served))
    assert source["settings"] == {"preset": preset}


def test_the_keys_of_their_page_may_do_what_it_says(whole: Served) -> None:
    served = whole.of("Docs of keys")
    made, publishable, listed = map(json.loads, type_in(example("keys"), served).splitlines())
    assert (made["scopes"], publishable["shop"]) == (["conversions"], "main")
    assert {made["id"], publishable["id"]} <= {each["id"] for each in listed["data"]}
    reporter = replace(served, secret_key=made["secret_key"])
    reporter.call("POST", "/v1/conversions", {"order_id": "by-the-checkout", "net_minor": 100, "currency": "EUR"})
    with pytest.raises(AssertionError, match="missing_scope"):
        reporter.call("GET", "/v1/conversions")


def test_the_signing_secret_of_the_page_is_made_and_the_pixel_signed_with_it_is_trusted(served: Served) -> None:
    made = served.call("POST", "/v1/keys", {"kind": "publishable", "shop": "main"})
    answer = json.loads(type_in(example("signing-secret"), served, PUBLISHABLE_KEY_ID=made["id"]))
    fields = sign({"order_id": "signed-1", "amount": "49.90", "currency": "EUR"}, secret=answer["signing_secret"])
    with urlopen(f"{served.url}/p.gif?{urlencode({'k': made['publishable_key'], **fields})}") as image:
        assert image.status == 200
    [found] = served.until(lambda: served.call("GET", "/v1/conversions?order_id=signed-1")["data"])
    [witness] = served.call("GET", f"/v1/conversions/{found['id']}")["witnesses"]
    assert (found["net_minor"], witness["trust"]) == (4990, "signed_pixel")


def test_the_page_of_keys_says_of_every_operation_who_may(served: Served) -> None:
    """Reading is by GET and writing by the rest; what differs is named on the page."""
    page = (ROOT / "docs" / "keys.md").read_text()
    paths = json.loads((ROOT / "openapi" / "openapi.json").read_text())["paths"]
    operations = [(path, method, each) for path, methods in paths.items() for method, each in methods.items()]
    for path, method, operation in operations:
        scope = re.search(r"Scope: (.*)\.", operation.get("description", ""))
        resource = path.split("/")[2] if path.startswith("/v1/") else ""
        if scope is None:
            assert not resource, f"{method} {path} names no scope"
        elif scope[1] == "`admin`":
            assert resource in ("keys", "sources", "hosts", "brand", "privacy"), f"{method} {path}"
        elif (scope[1], method) not in (
            ("`read`", "get"),
            ("`write`", "post"),
            ("`write`", "patch"),
            ("`write`", "delete"),
        ):
            assert f"`{method.upper()} {path}`" in page, f"docs/keys.md does not name {method} {path}: {scope[1]}"


def job_of(output: str, served: Served) -> dict[str, Any]:
    """The job that an example's answer names, when it has ended."""
    [job] = [json.loads(line) for line in output.splitlines() if line.startswith("{")]

    def ended() -> dict[str, Any] | None:
        shown = served.call("GET", f"/v1/jobs/{job['id']}")
        return shown if shown["finished_at"] else None

    found = served.until(ended)
    assert found is not None
    return found


def ariane(served: Served, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ARIANE_KEY": served.secret_key, "COLUMNS": "200"}
    return subprocess.run(
        [ARIANE, *arguments, "--url", served.url],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_file_is_imported_and_reconciled_as_its_pages_say(served: Served, tmp_path: Path) -> None:
    script = example("import")
    imported = job_of(type_in(f"cd {tmp_path}\n{script}", served), served)["result"]
    assert (imported["orders"]["new"], imported["reasons"]) == (2, {"invalid_time": 1})
    compared = job_of(type_in(f"cd {tmp_path}\n{example('reconcile')}", served), served)["result"]
    assert compared["orders"]["matched"] == 1
    assert compared["reasons"]["missing_here"] == {"never_received": 1}
    assert "5002" in json.dumps(served.call("GET", "/v1/conversions?order_id=5002"))


def test_the_commands_show_what_came_of_a_file_and_end_by_it(served: Served, tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("order_id,net,occurred_at\n7001,10.00,2026-11-18T10:00:00Z\n7002,ten,\n")
    done = ariane(served, "import", "orders.csv", "--shop", "cli", "--report", "lines.csv", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert re.search(r"orders +new +1 *\n", done.stdout)
    assert re.search(r"3 +refused +invalid_amount +7002 +net: 'ten' is not an amount", done.stdout)
    assert (tmp_path / "lines.csv").read_text().count("\n") == 2
    orders, report = str(tmp_path / "orders.csv"), str(tmp_path / "again.csv")
    speaking = ("--url", served.url, "--key", served.secret_key, "--json")
    again = command("import", orders, "--shop", "cli", "--report", report, *speaking)
    assert again.returncode == 3, again.stderr
    job = json.loads(again.stdout)
    assert (job["kind"], job["result"]["orders"]["known"], job["result"]["refused"]) == ("import", 1, 1)
    assert Path(report).read_text().count("\n") == 2
    (tmp_path / "shop.jsonl").write_text(
        '{"order_id": "7001", "total": "12.00", "tax": "2.00", "occurred_at": "2026-11-18"}\n'
    )
    done = ariane(served, "reconcile", "shop.jsonl", "--shop", "cli", cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    assert re.search(r"shop total +12\.00 *\n *tax +-2\.00 *\n", done.stdout)
    assert re.search(r"= all orders, net +10\.00", done.stdout)
    told = command("reconcile", str(tmp_path / "shop.jsonl"), "--shop", "cli", *speaking)
    assert (told.returncode, json.loads(told.stdout)["result"]["orders"]["matched"]) == (0, 1)


def test_a_command_that_cannot_do_it_says_why_in_one_sentence(served: Served, tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("order,net\n1,5\n")
    refused, nobody, wrong = (
        command("import", str(tmp_path / "orders.csv"), "--url", url, "--key", key)
        for url, key in (
            (served.url, served.secret_key),
            ("http://127.0.0.1:9", served.secret_key),
            (served.url, "sk_nobody"),
        )
    )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "order_id may be meant" in refused.stderr
    assert "wrong_header" in refused.stderr
    assert nobody.returncode == 1
    assert "http://127.0.0.1:9" in nobody.stderr
    assert "key_unknown" in wrong.stderr


def test_lines_that_cannot_be_had_are_no_file_and_one_sentence(served: Served, tmp_path: Path) -> None:
    content = {"content": b"order_id,net\n1,ten\n", "headers": {"Content-Type": "text/csv"}}
    with connect(served.url, served.secret_key) as api:
        job = api.send("POST", "/v1/imports", {}, **content)
    path = f"/v1/jobs/{job['id']}/lines.csv"
    for asked, key, file, sentence in (
        ("/v1/jobs/job_none/lines.csv", served.secret_key, "lines.csv", "job_not_found"),
        (path, "sk_nobody", "lines.csv", "key_unknown"),
        (path, served.secret_key, "no/such/folder.csv", "No such file"),
    ):
        with connect(served.url, key) as api, pytest.raises(AppError, match=sentence):
            api.download(asked, tmp_path / file)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in LINKED.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
