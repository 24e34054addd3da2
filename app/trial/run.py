"""The steps of a trial in their order. No step waits longer than its limit, and none raises: what went wrong is a line of the report."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import httpx2

from app import clock
from app.settings import Settings
from app.trial import checks_after, checks_before, messages
from app.trial.state import CheckResult, Trial, TrialSource, TrialStep, own_address

REQUEST_TIMEOUT_S = 5.0
"""Longest wait for one answer of our own doors."""
STEP_TIMEOUT_S = 15.0
"""Longest duration of one step."""
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""A TLS context without certificate authorities: we listen without TLS, and reading the authorities held up redirects for 50 to 100 ms a trial."""
NOBODY_THERE = "the trial asks the address the service listens on: look at HOST and PORT, and whether the service was started by `ariane serve`"


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step of every trial. needs: the steps that must have passed before it is tried. expected: shown when it was not tried."""

    name: str
    run: Callable[[Trial], Awaitable[CheckResult]]
    expected: str
    needs: tuple[str, ...] = ()


STEPS = (
    PlannedStep("source", checks_before.in_use, "the source is in use"),
    PlannedStep("secrets", checks_before.secrets, "every stored secret can be opened"),
    PlannedStep("public_url", checks_before.public_address, "the address given to the shop leads to a public host"),
    PlannedStep("click", messages.click, "302 with a click id"),
    PlannedStep("order", messages.order, "200 for a signed test order", ("source",)),
    PlannedStep("recorded", checks_after.recorded, "the background process has recorded the order", ("order",)),
    PlannedStep("test_mode", checks_after.test_mode, "kept as a test, outside every report", ("recorded",)),
    PlannedStep("amount", checks_after.amount, "the amount that was sent", ("recorded",)),
    PlannedStep("code", checks_after.code, "the order brings the code along", ("recorded",)),
    PlannedStep("click_named", checks_after.click_named, "the order brings the click along", ("recorded", "click")),
    PlannedStep("credit", checks_after.credit, "100 % to the test's own collaboration", ("recorded",)),
    PlannedStep("refund", messages.refund, "200 for its signed refund", ("recorded",)),
    PlannedStep("refunded", checks_after.refunded, "the refund taken back", ("refund",)),
)


async def run_trial(
    settings: Settings, secret: str, pool: asyncpg.Pool, source: TrialSource
) -> tuple[Trial, list[TrialStep]]:
    """Runs every step: the trial as it ended, and the report."""
    limits = httpx2.Timeout(REQUEST_TIMEOUT_S)
    base_url = own_address(settings)
    # No proxy from the environment and no redirect followed: no request leaves for anything but our own listener.
    async with httpx2.AsyncClient(
        base_url=base_url, timeout=limits, trust_env=False, follow_redirects=False, verify=NO_AUTHORITIES
    ) as client:
        trial = Trial(settings, secret, pool, source, client)
        lines: list[TrialStep] = []
        passed: dict[str, bool] = {}
        for step in STEPS:
            missing = next((need for need in step.needs if not passed[need]), None)
            line = await _run(step, trial) if missing is None else _skipped(step, missing)
            passed[step.name] = line.ok is True
            lines.append(line)
        return trial, lines


async def _run(step: PlannedStep, trial: Trial) -> TrialStep:
    began_s = clock.monotonic_s()
    try:
        async with asyncio.timeout(STEP_TIMEOUT_S):
            found = await step.run(trial)
    except TimeoutError:
        found = CheckResult(False, step.expected, f"nothing within {STEP_TIMEOUT_S:.0f} s")
    except httpx2.HTTPError as error:
        no_answer = f"no answer from {own_address(trial.settings)} ({type(error).__name__})"
        found = CheckResult(False, step.expected, no_answer, NOBODY_THERE)
    took_ms = round((clock.monotonic_s() - began_s) * 1_000)
    return TrialStep(found.ok, found.expected, found.found, found.hint, step.name, took_ms)


def _skipped(step: PlannedStep, missing: str) -> TrialStep:
    return TrialStep(None, step.expected, f"not tried: `{missing}` did not pass", None, step.name, 0)
