"""Plays app/api/story.toml: a request for every operation behind a key, in the order in which a brand comes by them."""

import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx2

from app.api.examples import Step, read_story, resolve
from app.server.app import openapi_document
from tests.served import Served

TEXTS = ("text/csv", "application/x-ndjson", "image/svg+xml")
"""Media types that an example shows as they stand."""
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
PATIENCE_S = 20.0
POLL_S = 0.05


@dataclass(frozen=True)
class Operation:
    """One operation of the document."""

    id: str
    method: str
    path: str
    document: Mapping[str, Any]

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes any of which it demands."""
        return frozenset(self.document.get("x-scopes", ()))


def operations(document: Mapping[str, Any]) -> dict[str, Operation]:
    """Every operation of the document by its id."""
    found = [
        Operation(each["operationId"], method.upper(), path, each)
        for path, item in document["paths"].items()
        for method, each in item.items()
    ]
    return {each.id: each for each in found}


@dataclass
class Story:
    """What was played: the steps, and each one's answer."""

    served: Served
    operations: dict[str, Operation]
    document: dict[str, Any]
    answers: dict[str, httpx2.Response] = field(default_factory=dict)
    read: dict[str, Any] = field(default_factory=dict)
    """The JSON of the answers, by the step's name."""

    @property
    def steps(self) -> list[Step]:
        return read_story()

    def request(self, client: httpx2.Client, step: Step, values: Any = None) -> httpx2.Response:
        """Sends a step, with these `values` in place of what it names."""
        operation = self.operations[step.operation]
        filled = resolve({"path": step.path, "query": step.query, "body": step.body}, self.read)
        if values is not None:
            filled = values(filled)
        path = operation.path
        for name, value in filled["path"].items():
            path = path.replace("{" + name + "}", quote(str(value), safe=""))
        if step.file is not None:
            content, kind = step.file.encode(), step.type
        else:
            content, kind = (b"", None) if step.body is None else (json.dumps(filled["body"]).encode(), step.type)
        headers = {"Accept": step.accept} | ({} if kind is None else {"Content-Type": kind})
        if step.signed_with is not None:
            signature = hmac.new(step.signed_with.encode(), content, hashlib.sha256).hexdigest()
            headers |= {"X-Signature": f"sha256={signature}", "Authorization": ""}
        return client.request(operation.method, path, params=filled["query"], content=content, headers=headers)

    def play(self) -> None:
        """Every step in turn, as the brand of `served`. Raises AssertionError at the first that does not work."""
        headers = {"User-Agent": PHONE, **bearer(self.served.secret_key)}
        with httpx2.Client(base_url=self.served.url, headers=headers, timeout=60) as client:
            for step in self.steps:
                answer = self._asked(client, step)
                assert answer.is_success or answer.status_code == step.or_status, f"{step.name}: {answer.text}"
                self.answers[step.name] = answer
                if answer.headers.get("content-type", "") == "application/json":
                    self.read[step.name] = answer.json()

    def _asked(self, client: httpx2.Client, step: Step) -> httpx2.Response:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            answer = self.request(client, step)
            if not answer.is_success or all(found_at(answer.json(), name) == end for name, end in step.until.items()):
                return answer
            assert time.monotonic() < deadline, f"{step.name}: {answer.text}"
            time.sleep(POLL_S)


def found_at(answer: Any, name: str) -> Any:
    """A field of an answer, `data.0.status`; None while it is not there."""
    try:
        return resolve(f"@answer.{name}", {"answer": answer})
    except (IndexError, KeyError):
        return None


def bearer(key: str) -> dict[str, str]:
    """The header of a key."""
    return {"Authorization": f"Bearer {key}"}


def tell(served: Served) -> Story:
    """A story that was played from its beginning to its end, by a brand of its own."""
    document = openapi_document()
    story = Story(served.of("Storyteller"), operations(document), document)
    story.play()
    return story


# ── What of the answers is written into the repository ───────────────────────────────────────────────────────────────

ID = re.compile(r"\b([a-z]{2,4})_([0-9a-z]{26})\b")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
SECRET = re.compile(r"\b(sk|pk|whsec|pss)_[A-Za-z0-9_=+/-]{20,}")
DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def written(story: Story) -> dict[str, Any]:
    """The answers of the examples by operation, without what is new in every run: ids are counted, moments are one moment, secrets are none."""
    seen: dict[str, str] = {}

    def counted(match: re.Match[str]) -> str:
        number = seen.setdefault(match[0], f"{len(seen):04d}")
        return f"{match[1]}_01kb2v0q4n8t6s3d5f7h9j{number}"

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(each) for name, each in value.items()}
        if isinstance(value, list):
            return [plain(each) for each in value]
        if not isinstance(value, str):
            return value
        text = value.replace(story.served.url, "https://go.example.com").replace("127.0.0.1", "go.example.com")
        return MOMENT.sub("2026-11-22T09:30:00.000Z", ID.sub(counted, SECRET.sub(r"\1_shown-once", text)))

    return {
        name: {"status": str(answer.status_code), "type": media_type(answer), "answer": plain(shown(answer))}
        for name, answer in story.answers.items()
        if answer.is_success and shown(answer) is not None
    }


def shown(answer: httpx2.Response) -> Any:
    """An answer as an example shows it; None for bytes that are no text."""
    if media_type(answer) == "application/json":
        return answer.json()
    return answer.text if media_type(answer) in TEXTS else None


def media_type(answer: httpx2.Response) -> str:
    """The media type of an answer without its parameters."""
    return answer.headers.get("content-type", "").partition(";")[0]


def names_of(value: Any) -> Iterator[str]:
    """The names of the fields of a JSON value, at its first level and in the first row of its lists."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield name
            if isinstance(each, list) and each and isinstance(each[0], dict):
                yield from (f"{name}.{inner}" for inner in each[0])
