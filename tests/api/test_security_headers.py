"""What browsers are told of every answer of the API and of /docs: what they may load, who may frame it, and that nothing is kept."""

import httpx2
import pytest

PLAIN = "default-src 'none'; frame-ancestors 'none'"
ANSWERS = {
    "JSON": ("/v1/brand", 200, PLAIN, "no-store"),
    "a problem": ("/v1/brand?nothing=1", 422, PLAIN, "no-store"),
    "a CSV": ("/v1/clicks.csv", 200, PLAIN, "no-store"),
    "the document": ("/openapi.json", 200, PLAIN, "no-store"),
    "the reference": ("/docs", 200, "default-src 'self'", "no-cache"),
    "a guide": ("/docs/guides/links", 200, "default-src 'self'", "no-cache"),
    "a file of Swagger UI": ("/docs/static/swagger-ui.css", 200, PLAIN, None),
    "nothing": ("/docs/guides/nothing", 404, PLAIN, "no-store"),
}


@pytest.mark.parametrize(("path", "status", "policy", "cache"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_every_answer_says_what_a_browser_may_do_with_it(
    as_alice: httpx2.AsyncClient, path: str, status: int, policy: str, cache: str | None
) -> None:
    answer = await as_alice.get(path)
    told = answer.headers
    assert answer.status_code == status
    assert told["content-security-policy"].startswith(policy)
    assert "frame-ancestors 'none'" in told["content-security-policy"]
    assert (told["x-content-type-options"], told["x-frame-options"]) == ("nosniff", "DENY")
    assert (told["referrer-policy"], told.get("cache-control")) == ("no-referrer", cache)
    for name in ("content-security-policy", "cache-control", "x-content-type-options"):
        assert len(told.get_list(name)) <= 1


async def test_an_answer_without_a_key_says_so_too(api: httpx2.AsyncClient) -> None:
    refused = await api.get("/v1/brand")
    assert (refused.status_code, refused.headers["content-security-policy"]) == (401, PLAIN)
