"""The script that a generic source hands out is taken by that very source, whatever signs its messages and wherever its mapping reads."""

import asyncio
import json
import os
from typing import Any

import pytest

from tests.api.calls import post
from tests.api.test_source_trials import Running, brand, listening, working  # noqa: F401  fixtures
from tests.cast import Brand

SECRET = "a long $ecret of 'ours'"
CODED = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RULE = {
    "read": "order", "order_id": "/data/id", "net": "/data/net", "currency": "/data/currency", "codes": "/data/vouchers/[type=it's]/code",
    "click_id": "/meta/[key=_ariane]/value", "test": "header:X-Test", "when": [{"at": "/event", "equals": ["paid $now", "x"]}],
}  # fmt: skip
MAPPED = {"mapping": {"amounts": "major", "rules": [RULE]}}
SAMPLE = {"event": "paid $now", "data": {"id": 1, "net": "5.00", "currency": "EUR"}}
LAYOUTS: dict[str, dict[str, Any]] = {
    "hex": {"header": "X-Signature", "encoding": "hex"},
    "base64": {"header": "X-Signature", "encoding": "base64", "prefix": "v1="},
    "pairs": {
        "header": "X-Signature", "encoding": "hex", "separator": ",", "signature_key": "v1", "timestamp_key": "t",
        "message": "{timestamp}.{body}",
    },
    "timestamp": {
        "header": "X-Signature", "timestamp_header": "X-Time", "timestamp_form": "unix_ms", "message": "v0:{timestamp}:{body}$",
    },
    "rfc3339": {"header": "X-Signature", "timestamp_header": "X-Time", "timestamp_form": "rfc3339", "message": "{timestamp}{body}"},
    "standard": {
        "header": "webhook-signature", "encoding": "base64", "prefix": "v1,", "separator": " ", "timestamp_header": "webhook-timestamp",
        "id_header": "webhook-id", "message": "{id}.{timestamp}.{body}", "key_form": "whsec",
    },
    "coded": {"header": "X-Signature", "key_form": "base64"},
    "token": {"scheme": "token", "header": "X-Token", "prefix": "Shop "},
    "basic": {"scheme": "basic", "header": "Authorization"},
    "address": {"header": "X-Signature", "encoding": "base64", "message": "{url}{body}"},
}  # fmt: skip


async def run(script: str, secret: str) -> dict[str, Any]:
    """The answer to a script that was handed out, as a person would run it."""
    environment = {**os.environ, "SECRET": secret, "no_proxy": "*"}
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", script, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    found: dict[str, Any] = json.loads(output)
    return found


@pytest.mark.parametrize("settings", [{}, MAPPED], ids=["own body", "mapping"])
@pytest.mark.parametrize("layout", [None, *LAYOUTS])
async def test_the_script_that_is_handed_out_is_accepted_and_read(
    working: Running,  # noqa: F811
    brand: Brand,  # noqa: F811
    settings: dict[str, Any],
    layout: str | None,
) -> None:
    given = settings if layout is None else {**settings, "signature": LAYOUTS[layout]}
    secret = CODED.removeprefix("whsec_") if layout == "coded" else CODED if layout == "standard" else SECRET
    async with working.client(brand) as client:
        new = {"platform": "generic", "secrets": [secret], "settings": given}
        source = await post(client, "/v1/sources", {**new, "sample": SAMPLE} if settings else new)
        [script] = [each["code"] for each in source["snippets"] if each["language"] == "sh"]
        # Only where it is sent to: a checkout signs the address that the API shows.
        told = await run(working.url.join(script.rsplit(source["url"].partition("/in/")[0], 1)), secret)
        assert told.get("status") == "received", told
        found: list[dict[str, Any]] = []
        for _ in range(200):
            found = (await client.get("/v1/conversions", params={"order_id": "1001"})).json()["data"]
            if found:
                break
            await asyncio.sleep(0.05)
        [order] = found
        assert (order["net_minor"], order["currency"], order["test"]) == (4_500, "EUR", True)
        [said] = [step["text"] for step in source["setup"] if step["title"] == "Sign it"]
        assert (LAYOUTS[layout]["header"] if layout else "x-ariane-signature") in said
