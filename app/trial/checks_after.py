"""What has become of the messages: the order, its decision and its refund, looked up as a report would."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import asyncpg

from app import clock
from app.domain import ids, money
from app.trial.state import NET_MINOR, REFUND_MINOR, CheckResult, Trial

RECORD_TIMEOUT_S = 10.0
"""Longest wait until the background process has recorded what the doors accepted."""
POLL_S = 0.1
IDLE = timedelta(seconds=10)
"""Age of the last heartbeat from which the background process counts as stopped; one that works gives a heartbeat every second."""

DELIVERIES = """
SELECT id, status, reason, detail, conversion_id FROM delivery WHERE brand_id = $1 AND id = ANY($2::uuid[])
"""
OUTCOME = """
SELECT root.id, root.test, root.currency, root.net_minor, root.refunded_minor, d.verdict, d.credits::text AS credits,
       d.candidates::text AS candidates
FROM conversion reported
JOIN conversion root ON root.brand_id = $1 AND root.id = reported.root_id
LEFT JOIN decision d ON d.brand_id = $1 AND d.conversion_id = root.id
WHERE reported.brand_id = $1 AND reported.id = $2
"""
LAST_DRAINED = "SELECT max(updated_at) FROM drain_state"

T = TypeVar("T")


async def recorded(trial: Trial) -> CheckResult:
    """Waits until the messages of the order are recorded, and finds the order."""
    expected = "the background process has recorded the order"
    rows = await _poll(lambda: _deliveries(trial))
    if rows is None:
        return await _not_recorded(trial, expected)
    refused = next((row for row in rows if row["status"] not in ("recorded", "ignored")), None)
    if refused is not None:
        return CheckResult(False, expected, f"{refused['status']}: {refused['reason']}", refused["detail"])
    trial.conversion_id = next((row["conversion_id"] for row in rows if row["conversion_id"]), None)
    if trial.conversion_id is None:
        return CheckResult(False, expected, "understood, but no order was read in it")
    outcome = await _look_up(trial)
    return CheckResult(True, expected, f"recorded as {ids.show('conversion', outcome['id'])}")


async def _look_up(trial: Trial) -> asyncpg.Record:
    trial.outcome = await trial.pool.fetchrow(OUTCOME, trial.source.brand_id, trial.conversion_id)
    return _outcome(trial)


def _outcome(trial: Trial) -> asyncpg.Record:
    assert trial.outcome is not None
    return trial.outcome


async def _deliveries(trial: Trial) -> list[asyncpg.Record] | None:
    """The rows of the messages, once all of them are there and read."""
    rows = await trial.pool.fetch(DELIVERIES, trial.source.brand_id, trial.delivery_ids)
    done = [row for row in rows if row["status"] != "received"]
    return done if trial.delivery_ids and len(done) == len(trial.delivery_ids) else None


async def _not_recorded(trial: Trial, expected: str) -> CheckResult:
    last = await trial.pool.fetchval(LAST_DRAINED)
    hint = "the background process works: it may be busy with much else, or its log says what is wrong"
    if last is None or clock.now() - last > IDLE:
        since = "has never worked" if last is None else f"last worked at {last:%Y-%m-%d %H:%M:%S} UTC"
        start = "start it with `ariane serve` (or `ariane work`), what waits is recorded then"
        hint = f"the background process {since}: {start}"
    found = f"not recorded after {RECORD_TIMEOUT_S:.0f} s; it is safe on the disk"
    return CheckResult(False, expected, found, hint)


async def test_mode(trial: Trial) -> CheckResult:
    """A test order is in no report."""
    test = _outcome(trial)["test"]
    hint = None if test else "this order counts in the reports now: refund or reject it"
    return CheckResult(test, "kept as a test, outside every report", "test" if test else "a real order", hint)


async def amount(trial: Trial) -> CheckResult:
    """The amount must be read to the minor unit."""
    outcome = _outcome(trial)
    expected = _show(NET_MINOR, (await trial.fixtures()).currency)
    found = _show(outcome["net_minor"], outcome["currency"])
    hint = None if expected == found else "GET /v1/deliveries/{id} shows what was read in the message"
    return CheckResult(expected == found, expected, found, hint)


async def code(trial: Trial) -> CheckResult:
    """Whether the code in the order was read and belongs to the brand."""
    fixtures = await trial.fixtures()
    expected = f"the order brings the code {fixtures.code} along"
    return _candidate(trial, "code", "code_id", str(fixtures.code_id), expected)


async def click_named(trial: Trial) -> CheckResult:
    """Whether the click id in the order was read and belongs to a recorded click."""
    assert trial.click_id is not None
    click, expected = str(ids.read("click", trial.click_id)), f"the order brings the click {trial.click_id} along"

    async def drained() -> CheckResult | None:
        await _look_up(trial)
        found = _candidate(trial, "click", "click_id", click, expected)
        return found if found.ok else None

    # The order may be there before its click, which comes by a spool of its own; the order is then decided again.
    return await _poll(drained) or _candidate(trial, "click", "click_id", click, expected)


def _candidate(trial: Trial, method: str, name: str, value: str, expected: str) -> CheckResult:
    candidates = json.loads(_outcome(trial)["candidates"] or "[]")
    found = next((each for each in candidates if each["method"] == method and each[name] == value), None)
    if found is None:
        missing = f"the messages of {trial.source.platform} did not bring the {method} along"
        return CheckResult(False, expected, f"the order names no such {method}", missing)
    # Which of the two takes the order is the brand's policy; either may.
    outranked = found["reason"] == "outranked"
    shown = "it does, and the policy prefers the other (outranked)" if outranked else f"it does ({found['reason']})"
    hint = None if found["eligible"] else "docs/attribution.md explains every reason"
    return CheckResult(found["eligible"], expected, shown, hint)


async def credit(trial: Trial) -> CheckResult:
    """The collaboration that has the link and the code of the trial must be credited."""
    outcome, collaboration_id = _outcome(trial), str((await trial.fixtures()).collaboration_id)
    given = json.loads(outcome["credits"] or "[]")
    weight_bp = sum(each["weight_bp"] for each in given if each["collaboration_id"] == collaboration_id)
    ok = weight_bp == 10_000
    hint = None if ok else "GET /v1/conversions?order_id=… shows every candidate and why it lost"
    found = f"{weight_bp / 100:g} %, {outcome['verdict']}"
    return CheckResult(ok, "100 % to the test's own collaboration", found, hint)


async def refunded(trial: Trial) -> CheckResult:
    """Waits until the refund is folded into the order."""
    currency = (await trial.fixtures()).currency
    expected = f"{_show(REFUND_MINOR, currency)} taken back"
    if await _poll(lambda: _deliveries(trial)) is None:
        return await _not_recorded(trial, expected)
    refunded_minor = (await _look_up(trial))["refunded_minor"]
    ok = refunded_minor == REFUND_MINOR
    hint = None if ok else "GET /v1/deliveries?source_id=… shows what was read in the refund"
    return CheckResult(ok, expected, f"{_show(refunded_minor, currency)} taken back", hint)


async def _poll(look: Callable[[], Awaitable[T | None]]) -> T | None:
    """What `look` finds, once it finds something; None after RECORD_TIMEOUT_S."""
    deadline_s = clock.monotonic_s() + RECORD_TIMEOUT_S
    while (found := await look()) is None:
        if clock.monotonic_s() > deadline_s:
            return None
        await asyncio.sleep(POLL_S)
    return found


def _show(minor: int | None, currency: str | None) -> str:
    return "no amount" if minor is None or currency is None else f"{money.to_decimal(minor, currency)} {currency}"
