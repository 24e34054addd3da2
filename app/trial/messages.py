"""What a trial sends through the doors: the click, the signed order, its signed refund."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2

from app import clock
from app.domain import ids
from app.domain.browsers import TRIAL_USER_AGENT
from app.errors import Invalid
from app.platforms.kit.trial import TrialOrder, TrialRequest
from app.platforms.registry import platform_of
from app.trial.state import NET_MINOR, REFUND_MINOR, CheckResult, Trial, own_address


async def click(trial: Trial) -> CheckResult:
    """Follows a short link as a visitor would, and keeps the click id from its destination."""
    fixtures = await trial.fixtures()
    expected = f"302 to the destination with ?{fixtures.click_param}=clk_…"
    headers = {"User-Agent": TRIAL_USER_AGENT, "Host": urlsplit(trial.settings.base_url).netloc}
    answer = await trial.client.get(f"/{fixtures.slug}", headers=headers)
    location = answer.headers.get("location", "")
    query = parse_qsl(urlsplit(location).query)
    trial.click_id = next((value for _, value in query if value.startswith("clk_")), None)
    if trial.click_id is not None:
        return CheckResult(True, expected, f"{answer.status_code} with {trial.click_id}")
    if answer.status_code == 302:
        full = "the click could not be written: the disk or the spool is full, see /readyz"
        return CheckResult(False, expected, "302 without a click id", full)
    address = own_address(trial.settings)
    other = f"another program answers on {address}, or the host of ARIANE_PUBLIC_URL is a brand's own"
    found = f"{answer.status_code} for /{fixtures.slug}"
    return CheckResult(False, expected, found, other if answer.status_code == 404 else None)


async def order(trial: Trial) -> CheckResult:
    """Posts the platform's messages about a test order that brings the click and the code along."""
    if trial.source.sealed and not trial.opened:
        return CheckResult(None, "200 for a signed test order", "not tried: no secret can be opened to sign with")
    fixtures = await trial.fixtures()
    expected = "200 for every message of a signed test order"
    now = clock.now()
    test_order = TrialOrder(
        number=trial.number,
        currency=fixtures.currency,
        net_minor=NET_MINOR,
        refund_minor=REFUND_MINOR,
        ordered_at=now,
        refunded_at=now,
        code=fixtures.code,
        click_id=trial.click_id,
    )
    try:
        trial.messages = platform_of(trial.source.platform).trial_messages(
            test_order, next(iter(trial.opened), ""), trial.source.source_settings
        )
    except Invalid as error:
        return CheckResult(None, expected, "its settings cannot be rehearsed", error.message)
    if trial.messages is None:
        found = f"{trial.source.platform} cannot be rehearsed yet"
        return CheckResult(None, expected, found, "place a test order in the shop instead")
    return await _send(trial, trial.messages.order, expected)


async def refund(trial: Trial) -> CheckResult:
    """Posts the platform's messages about a refund of a part of that order."""
    assert trial.messages is not None
    expected = "200 for every message of its signed refund"
    if not trial.messages.refund:
        hint = "report them by POST /v1/refunds, or add a rule to its mapping"
        return CheckResult(None, expected, "this source reads no refunds", hint)
    return await _send(trial, trial.messages.refund, expected)


async def _send(trial: Trial, messages: Sequence[TrialRequest], expected: str) -> CheckResult:
    trial.delivery_ids = []
    for message in messages:
        path = f"/in/{trial.source.token}" + (f"?{message.query}" if message.query else "")
        answer = await trial.client.request(message.method, path, content=message.body, headers=dict(message.headers))
        if answer.status_code != 200:
            problem = _problem(answer)
            found = f"{answer.status_code} {problem.get('code', '')}".strip()
            return CheckResult(False, expected, found, problem.get("detail"))
        with suppress(ValueError, KeyError):
            trial.delivery_ids.append(ids.read("delivery", answer.json()["id"]))
    return CheckResult(True, expected, f"200 for {len(messages)}")


def _problem(answer: httpx2.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
