"""Our own body is one, whether a call or a signed webhook brings it: what the one refuses, the other rejects with the same sentence."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from app.domain.orders import Context
from app.platforms.generic.webhook import parse

CONTEXT = Context(datetime(2026, 11, 22, tzinfo=UTC), "EUR", lambda number, email: number or email)


@pytest.fixture
async def checkout(service: FastAPI, as_alice: httpx2.AsyncClient) -> AsyncIterator[httpx2.AsyncClient]:
    """The server of a checkout of Alice's, with a key that can do nothing but report."""
    key = (await as_alice.post("/v1/keys", json={"scopes": ["conversions"], "name": "checkout"})).json()["secret_key"]
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=service), base_url="https://go.test", headers=headers
    ) as opened:
        yield opened


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/conversions", {"code": "LEA10"}, "code is not a field of an order; codes may be meant"),
        ("/v1/conversions", {"total": 5_000}, "total is not a field of an order; net_minor may be meant"),
        ("/v1/conversions", {"curency": "EUR"}, "curency is not a field of an order; currency may be meant"),
        ("/v1/conversions", {"colour": "red"}, "colour is not a field of an order"),
        ("/v1/refunds", {"refund_id": "r", "amount": 5}, "amount is not a field of a refund; amount_minor may be meant"),
        ("/v1/conversions", {"lines": [{"price": 5}]}, "lines.0.price is not a field of an order's line; net_minor may be meant"),
    ],
)  # fmt: skip
async def test_an_unknown_field_is_said_the_same_way_by_a_call_and_a_webhook(
    checkout: httpx2.AsyncClient, path: str, body: dict[str, Any], said: str
) -> None:
    message = {"order_id": "1001", **body}
    answer = await checkout.post(path, json=message)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    parsed = parse(json.dumps(message).encode(), {}, CONTEXT)
    assert (parsed.rejected, parsed.detail, parsed.reports) == ("invalid_fields", answer.json()["detail"], ())


async def test_an_order_with_the_empty_inputs_of_its_form_is_recorded(checkout: httpx2.AsyncClient) -> None:
    form = {
        "order_id": "1001",
        "net_minor": 5_000,
        "currency": "",
        "click_id": "",
        "codes": "",
        "customer": {"email": " "},
    }
    answer = await checkout.post("/v1/conversions", json={**form, "visitor_id": "", "coupon": "", "refund_id": None})
    assert (answer.status_code, answer.json()["net_minor"], answer.json()["currency"]) == (201, 5_000, "EUR")
    assert parse(json.dumps(form).encode(), {}, CONTEXT).rejected is None


async def test_the_least_scope_says_paid_and_cancelled(
    checkout: httpx2.AsyncClient, as_alice: httpx2.AsyncClient, as_charlie: httpx2.AsyncClient
) -> None:
    order = {"order_id": "1001", "net_minor": 5_000, "currency": "EUR", "occurred_at": "2026-11-21T18:00:00Z"}

    async def tell(minute: int, **said: Any) -> tuple[str, int]:
        answer = await checkout.post(
            "/v1/conversions", json={**order, "updated_at": f"2026-11-21T18:{minute:02}:00Z", **said}
        )
        assert answer.status_code in (200, 201), answer.text
        return answer.json()["status"], answer.json()["refunded_minor"]

    assert await tell(1, paid=False) == ("pending", 0)
    assert await tell(2, paid=True) == ("approved", 0)
    assert (await tell(3, paid=True, cancelled=True))[1] == 5_000
    assert await tell(4, paid=True, cancelled=False) == ("approved", 0)
    # In any sequence: an older word does not come back.
    assert await tell(3, paid=True, cancelled=True) == ("approved", 0)
    assert (await checkout.post("/v1/conversions", json={"order_id": "1001", "cancelled": True})).status_code == 200
    assert (await checkout.get("/v1/conversions")).status_code == 403
    assert len((await as_alice.get("/v1/conversions")).json()["data"]) == 1
    assert (await as_charlie.get("/v1/conversions")).json()["data"] == []


async def test_a_cancelled_order_is_cancelled_by_its_id_alone(checkout: httpx2.AsyncClient) -> None:
    await checkout.post("/v1/conversions", json={"order_id": "1001", "net_minor": 5_000, "currency": "EUR"})
    answer = await checkout.post("/v1/conversions", json={"order_id": "1001", "cancelled": True})
    assert (answer.status_code, answer.json()["refunded_minor"]) == (200, 5_000)


def test_a_webhook_with_a_type_of_its_own_says_so() -> None:
    parsed = parse(b'{"order_id": "1", "type": "simple product", "codes": ["LEA10"]}', {}, CONTEXT)
    assert parsed.notes == (
        "type is 'simple product', none of conversion, refund, cancellation, chargeback, reversal: not used",
    )
