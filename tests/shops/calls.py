"""Calls of a shop's own API, as its storefront and its administration make them."""

import json
import urllib.error
import urllib.request
from typing import Any

TIMEOUT_S = 60.0


def call(method: str, url: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[Any, Any]:
    """The answer's JSON and its headers; an error status is an assertion with what the shop said."""
    request = urllib.request.Request(
        url, None if body is None else json.dumps(body).encode(), headers or {}, method=method
    )
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return json.loads(answer.read() or b"null"), answer.headers
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method} {url}: {error.code} {error.read().decode()[:2_000]}") from None


class GraphQL:
    """One session of a GraphQL API: it keeps the token that it is given."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        self.token = token

    def __call__(self, query: str, **variables: Any) -> Any:
        """The only field of the answer, or all of them; an error, or a result that is an error, is an assertion."""
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        answer, answered = call("POST", self.url, {"query": query, "variables": variables}, headers)
        assert "errors" not in answer, f"{query}: {answer['errors']}"
        self.token = answered.get("vendure-auth-token") or self.token
        data = answer["data"]
        found = next(iter(data.values())) if len(data) == 1 else data
        assert not (isinstance(found, dict) and found.get("errorCode")), f"{query}: {found}"
        return found
