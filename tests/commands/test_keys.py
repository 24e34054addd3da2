"""`ariane keys` against the real service: what is listed, and what a revoked key may no longer do."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.commanding import command
from tests.served import Served


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


def keys(served: Served, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return command("keys", *arguments, DATABASE_URL=served.dsn, ARIANE_DATA=str(served.data), **variables)


def status(served: Served) -> str:
    try:
        served.call("GET", "/v1/brand")
    except AssertionError as refused:
        return str(refused)
    return "200"


def test_a_key_that_is_revoked_is_refused_and_the_last_of_a_brand_is_announced(whole: Served) -> None:
    served, rival = whole.of("Revoking"), whole.of("Rival of Revoking")
    table = keys(served, "list", "--brand", "Revoking", COLUMNS="80").stdout
    assert max(map(len, table.splitlines())) <= 80
    assert f"sk_…{served.secret_key[-4:]}" in table
    listed = json.loads(keys(served, "list", "--brand", "Revoking", "--json").stdout)
    assert [(each["kind"], each["brand"], each["shop"]) for each in listed] == [
        ("publishable", "Revoking", "main"),
        ("secret", "Revoking", "main"),
    ]
    public, secret = listed

    unasked = keys(served, "revoke", secret["id"])
    assert (unasked.returncode, unasked.stdout) == (1, "")
    assert "It is the last one: nobody can ask the REST API for this brand until" in unasked.stderr
    assert unasked.stderr.endswith("ariane: nothing was revoked: nobody can be asked here, say --yes\n")
    assert status(served) == "200"

    made = json.loads(keys(served, "create", "--brand", "Revoking", "--scopes", "write", "--json").stdout)
    done = keys(served, "revoke", secret["id"], "--yes", "--json")
    assert "It is the last one with the scope admin" in done.stderr
    assert json.loads(done.stdout)["revoked_at"] is not None
    served.until(lambda: "key_unknown" in status(served), timeout_s=3)
    assert status(rival) == "200"
    again = keys(served, "revoke", secret["id"], "--yes")
    assert (again.returncode, again.stdout) == (0, "")
    assert "was revoked already" in again.stderr
    assert "Pages of the shop 'main'" in keys(served, "revoke", public["id"]).stderr
    left = json.loads(keys(served, "list", "--brand", "Revoking", "--json").stdout)
    assert {each["hint"] for each in left} == {made["publishable_key"], made["secret_key"][-4:]}


@pytest.mark.parametrize(("typed", "status", "said"), [("y\n", 0, "revoked key_"), ("n\n", 1, "nothing was revoked")])
def test_who_can_be_asked_is_asked(
    whole: Served, monkeypatch: pytest.MonkeyPatch, typed: str, status: int, said: str
) -> None:
    served = whole.of(f"Asked {status}")
    secret = json.loads(keys(served, "list", "--brand", f"Asked {status}", "--json").stdout)[1]
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    done = keys(served, "revoke", secret["id"])
    assert done.returncode == status
    assert "Revoke it for good? [y/N]" in done.stderr
    assert said in done.stdout + done.stderr


def test_looking_for_keys_makes_no_database(tmp_path: Path) -> None:
    refused = command("keys", "list", "--data", str(tmp_path))
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"ariane: no database is in {tmp_path}: ")
    assert list(tmp_path.iterdir()) == []
