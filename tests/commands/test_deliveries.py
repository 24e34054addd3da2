"""`ariane deliveries` against the real service: list, show, replay with its job; and how it says no."""

import hmac
import json
import re
import subprocess
import urllib.error
import urllib.request

import pytest

from app.api.routes.deliveries import AT_ONCE_ROWS
from tests.commands.commanding import command
from tests.served import Served, free_port

MANY = AT_ONCE_ROWS + 10


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return command("deliveries", *arguments, **variables)


@pytest.fixture(scope="module")
def served(whole: Served) -> Served:
    return whole.of("Deliveries")


def post(url: str, body: bytes, secret: str) -> int:
    signature = "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()
    request = urllib.request.Request(url, body, {"X-Ariane-Signature": signature, "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_mistyped_secret_is_found_mended_and_its_orders_replayed(served: Served) -> None:
    source = served.call("POST", "/v1/sources", {"platform": "generic", "secrets": ["mistyped secret"]})
    hook_url = f"{served.url}/in/{source['token']}"
    for number in range(MANY):
        body = {"order_id": f"A-{number}", "net_minor": 1_000, "currency": "EUR" if number else "ZZZ"}
        assert post(hook_url, json.dumps(body).encode(), "the right secret") == 401
    speaking = {"ARIANE_KEY": served.secret_key, "HOST": "127.0.0.1", "PORT": served.url.rpartition(":")[2]}

    def listed(*filters: str) -> list[dict[str, object]]:
        done = run("list", *filters, "--json", "--limit", "500", **speaking)
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))

    unsigned = served.until(lambda: rows if len(rows := listed("--status", "unsigned")) == MANY else [])
    named = ("--url", served.url, "--key", served.secret_key)
    few = ("list", "--reason", "wrong_signature", "--limit", "3", *named)
    asked: tuple[tuple[tuple[str, ...], str], ...] = (((), "80"), (("--wide",), "80"), ((), ""))
    narrow, wide, piped = (run(*few, *more, COLUMNS=width).stdout for more, width in asked)
    for table in (narrow, wide, piped):
        _, *rows, last = table.splitlines()
        assert last == "and older ones: --limit shows more than 3"
        assert [row[row.index("dlv_") :].split()[0] for row in rows] == [each["id"] for each in unsigned[:3]]
    assert max(map(len, narrow.splitlines())) <= 80
    assert wide == piped
    assert re.search(r"  unsigned  generic +wrong_signature *$", wide, re.M)
    assert re.search(r"  unsigned  wrong_signature *$", narrow, re.M)
    assert run("list", "--status", "ignored", *named).stdout == "no delivery is like that\n"
    shown = run("show", str(unsigned[-1]["id"]), **speaking).stdout
    assert "unsigned" in shown
    assert '"order_id": "A-0"' in shown

    served.call("PATCH", f"/v1/sources/{source['id']}", {"secrets": ["mistyped secret", "the right secret"]})
    dry = run("replay", "--status", "unsigned", "--dry-run", **speaking)
    assert dry.stdout.startswith(f"would be recorded {MANY - 1}, ignored 0, rejected again 1, still unsigned 0")
    assert len(listed("--status", "unsigned")) == MANY
    done = run("replay", "--status", "unsigned", "--source", source["id"], **speaking)
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith(f"recorded {MANY - 1}, ignored 0, rejected again 1, still unsigned 0")
    assert "invalid_fields" in done.stdout
    assert len(listed("--status", "recorded")) == MANY - 1

    one = json.loads(run("replay", str(unsigned[-1]["id"]), "--json", **speaking).stdout)
    assert (one["rejected"], one["deliveries"][0]["reason"]) == (1, "invalid_fields")

    rejected = ("list", "--status", "rejected")
    assert re.search(r"rejected  invalid_fields: cur… *$", run(*rejected, **speaking, COLUMNS="80").stdout, re.M)
    assert "'ZZZ' is not an ISO 4217 currency" in run(*rejected, **speaking, COLUMNS="").stdout

    # How it says no.
    for arguments, variables, sentence in (
        (("list",), {**speaking, "ARIANE_KEY": "sk_nobody"}, "key_unknown"),
        (("replay",), speaking, "give ids, or a filter"),
        (("show", "dlv_nonsense"), speaking, "delivery_not_found"),
        (("list", "--status", "odd"), speaking, "status"),
        (("list", "--from", "yesterday"), speaking, "from"),
    ):
        refused = run(*arguments, **variables)
        assert refused.returncode == 1, arguments
        assert refused.stderr.startswith("ariane: ")
        assert refused.stderr.count("\n") == 1
        assert sentence in refused.stderr


def test_a_missing_key_and_a_missing_service_are_said_in_one_sentence() -> None:
    for variables, sentence in (
        ({}, "ARIANE_KEY: a secret key"),
        ({"ARIANE_KEY": "sk_x", "PORT": str(free_port())}, "is `ariane serve` running there?"),
        ({"ARIANE_KEY": "sk_x", "ARIANE_PUBLIC_URL": "http://shop:port"}, "ARIANE_PUBLIC_URL: Port"),
    ):
        refused = run("list", **variables)
        assert refused.returncode == 1, sentence
        assert refused.stderr.startswith("ariane: ")
        assert refused.stderr.count("\n") == 1, refused.stderr
        assert sentence in refused.stderr
