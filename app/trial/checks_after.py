"""What has become of it: the order, its decision and its refund, looked up as a report would."""

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
"""Longest wait until the background process has recorded what the doors took in."""
POLL_S = 0.1
IDLE = timedelta(seconds=10)
"""A background process that works says so every second."""

DELIVERIES = """
SELECT id, status, reason, detail, conversion_id FROM delivery WHERE brand_id = $1 AND id = ANY($2::uuid[])
"""
OUTCOME = """
SELECT root.id, root.test, root.currency, root.net_minor, root.refunded_minor, d.verdict, d.credits::text AS credits,
       d.candidates::text AS candidates
FROM conversion told
JOIN conversion root ON root.brand_id = $1 AND root.id = told.root_id
LEFT JOIN decision d ON d.brand_id = $1 AND d.conversion_id = root.id
WHERE told.brand_id = $1 AND told.id = $2
"""
LAST_DRAINED = "SELECT max(updated_at) FROM drain_state"

T = TypeVar("T")


async def recorded(trial: Trial) -> CheckResult:
    """Waits until what was sent is recorded, and finds the order."""
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

    trial.outcome = await trial.pool.fetchrow(OUTCOME, trial.source.brand_id, trial.conversion_id)
    assert trial.outcome is not None
    return CheckResult(True, expected, f"recorded as {ids.show('conversion', trial.outcome['id'])}")


async def _deliveries(trial: Trial) -> list[asyncpg.Record] | None:
    """The rows of what was sent, once all of them are there and read."""
    rows = await trial.pool.fetch(DELIVERIES, trial.source.brand_id, trial.delivery_ids)
    done = [row for row in rows if row["status"] != "received"]
    return done if trial.delivery_ids and len(done) == len(trial.delivery_ids) else None


async def _not_recorded(trial: Trial, expected: str) -> CheckResult:
    waited = f"not recorded after {RECORD_TIMEOUT_S:.0f} s; it is safe on the disk"
    last = await trial.pool.fetchval(LAST_DRAINED)
    if last is None or clock.now() - last > IDLE:
        since = "has never worked" if last is None else f"last worked at {last:%Y-%m-%d %H:%M:%S} UTC"
        return CheckResult(
            False,
            expected,
            waited,
            f"the background process {since}: start it with `ariane serve` (or `ariane work`), what waits is recorded then",
        )
    return CheckResult(
        False,
        expected,
        waited,
        "the background process works: it may be busy with much else, or its log says what is wrong",
    )


async def test_mode(trial: Trial) -> CheckResult:
    """A test order is in no report."""
    assert trial.outcome is not None
    test = trial.outcome["test"]
    hint = None if test else "this order counts in the reports now: refund or reject it"
    return CheckResult(test, "kept as a test, outside every report", "test" if test else "a real order", hint)


async def amount(trial: Trial) -> CheckResult:
    """The amount must be read to the minor unit."""
    assert trial.outcome is not None
    assert trial.cast is not None
    expected, found = (
        _amounts(NET_MINOR, trial.cast.currency),
        _amounts(trial.outcome["net_minor"], trial.outcome["currency"]),
    )
    return CheckResult(
        expected == found,
        expected,
        found,
        None if expected == found else "GET /v1/deliveries/{id} shows what was read in the message",
    )


async def code(trial: Trial) -> CheckResult:
    """Whether the code in the order was read and is known."""
    assert trial.cast is not None
    return _candidate(
        trial, "code", "code_id", str(trial.cast.code_id), f"the order brings the code {trial.cast.code} along"
    )


async def click_named(trial: Trial) -> CheckResult:
    """Whether the click id in the order was read and belongs to a recorded click."""
    assert trial.click_id is not None
    signal, expected = str(ids.read("click", trial.click_id)), f"the order brings the click {trial.click_id} along"

    async def drained() -> CheckResult | None:
        trial.outcome = await trial.pool.fetchrow(OUTCOME, trial.source.brand_id, trial.conversion_id)
        found = _candidate(trial, "click", "click_id", signal, expected)
        return found if found.ok else None

    # The order may be there before its click, which comes by a spool of its own; the order is then decided again.
    return await _poll(drained) or _candidate(trial, "click", "click_id", signal, expected)


def _candidate(trial: Trial, method: str, name: str, value: str, expected: str) -> CheckResult:
    assert trial.outcome is not None
    candidates = json.loads(trial.outcome["candidates"] or "[]")
    found = next((each for each in candidates if each["method"] == method and each[name] == value), None)
    if found is None:
        hint = f"the messages of {trial.source.platform} did not bring the {method} along"
        return CheckResult(False, expected, f"the order names no such {method}", hint)
    # Which of the two takes the order is the brand's policy; either may.
    reason = found["reason"]
    return CheckResult(
        found["eligible"],
        expected,
        "it does, and the policy prefers the other (outranked)" if reason == "outranked" else f"it does ({reason})",
        None if found["eligible"] else "docs/attribution.md explains every reason",
    )


async def credit(trial: Trial) -> CheckResult:
    """Whoever owns the link and the code of the trial must be credited."""
    assert trial.outcome is not None
    assert trial.cast is not None
    expected = "100 % to the test's own collaboration"
    given = json.loads(trial.outcome["credits"] or "[]")
    ours = sum(each["weight_bp"] for each in given if each["collaboration_id"] == str(trial.cast.collaboration_id))
    hint = None if ours == 10_000 else "GET /v1/conversions?order_id=… shows every candidate and why it lost"
    return CheckResult(ours == 10_000, expected, f"{ours / 100:g} %, {trial.outcome['verdict']}", hint)


async def refunded(trial: Trial) -> CheckResult:
    """Waits until the refund is folded into the order."""
    assert trial.cast is not None
    expected = f"{_amounts(REFUND_MINOR, trial.cast.currency)} taken back"

    async def folded() -> asyncpg.Record | None:
        rows = await _deliveries(trial)
        if rows is None:
            return None
        trial.outcome = await trial.pool.fetchrow(OUTCOME, trial.source.brand_id, trial.conversion_id)
        return trial.outcome

    if await _poll(folded) is None:
        return await _not_recorded(trial, expected)
    assert trial.outcome is not None
    back = trial.outcome["refunded_minor"]
    found = f"{_amounts(back, trial.cast.currency)} taken back"
    return CheckResult(
        back == REFUND_MINOR,
        expected,
        found,
        None if back == REFUND_MINOR else "GET /v1/deliveries?source_id=… shows what was read in the refund",
    )


async def _poll(look: Callable[[], Awaitable[T | None]]) -> T | None:
    """What `look` finds, once it finds something; None after RECORD_TIMEOUT_S."""
    deadline_s = clock.monotonic_s() + RECORD_TIMEOUT_S
    while (found := await look()) is None:
        if clock.monotonic_s() > deadline_s:
            return None
        await asyncio.sleep(POLL_S)
    return found


def _amounts(minor: int | None, currency: str | None) -> str:
    return "no amount" if minor is None or currency is None else f"{money.to_decimal(minor, currency)} {currency}"
