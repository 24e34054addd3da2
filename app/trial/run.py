"""Runs a trial. No step waits longer than its limit, and none raises: what went wrong is a line of the report."""

import asyncio
import ssl
from dataclasses import dataclass

import asyncpg
import httpx2

from app import clock
from app.settings import Settings
from app.trial.fixtures import make_fixtures
from app.trial.steps import STEPS, Found, PlannedStep, Trial, TrialSource

REQUEST_TIMEOUT_S = 5.0
"""Longest wait for one answer of our own doors."""
STEP_TIMEOUT_S = 15.0
"""Longest duration of one step."""
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""A TLS context without certificate authorities: we listen without TLS, and reading the authorities held up redirects for 50 to 100 ms a trial."""
NOBODY_THERE = "the trial asks the address the service listens on: look at HOST and PORT, and whether the service was started by `ariane serve`"


@dataclass(frozen=True, slots=True)
class TrialStep:
    """One line of the report."""

    step: str
    ok: bool | None
    expected: str
    found: str
    hint: str | None = None
    took_ms: int = 0


async def run_trial(
    settings: Settings, secret: str, pool: asyncpg.Pool, source: TrialSource
) -> tuple[Trial, list[TrialStep]]:
    """Runs every step: the trial as it ended, and the report."""
    fixtures = await make_fixtures(pool, source.brand_id, f"{settings.base_url}/")
    address = own_address(settings)
    limits = httpx2.Timeout(REQUEST_TIMEOUT_S)
    # No proxy from the environment and no redirect followed: no request leaves for anything but our own listener.
    async with httpx2.AsyncClient(
        base_url=address, timeout=limits, trust_env=False, follow_redirects=False, verify=NO_AUTHORITIES
    ) as client:
        trial = Trial(settings, secret, pool, source, address, client, fixtures)
        lines: list[TrialStep] = []
        passed: dict[str, bool] = {}
        for step in STEPS:
            missing = next((need for need in step.needs if not passed[need]), None)
            if missing is None:
                line = await _run(step, trial)
            else:
                line = TrialStep(step.name, None, step.expected, f"not tried: `{missing}` did not pass")
            passed[step.name] = line.ok is True
            lines.append(line)
        return trial, lines


async def _run(step: PlannedStep, trial: Trial) -> TrialStep:
    began_s = clock.monotonic_s()
    trial.expected = step.expected
    try:
        async with asyncio.timeout(STEP_TIMEOUT_S):
            found = await step.check(trial)
    except TimeoutError:
        found, trial.expected = Found(False, f"nothing within {STEP_TIMEOUT_S:.0f} s"), step.expected
    except httpx2.HTTPError as error:
        no_answer = f"no answer from {trial.address} ({type(error).__name__})"
        found, trial.expected = Found(False, no_answer, NOBODY_THERE), step.expected
    took_ms = round((clock.monotonic_s() - began_s) * 1_000)
    return TrialStep(step.name, found.ok, trial.expected, found.found, found.hint, took_ms)


def own_address(settings: Settings) -> str:
    """Where this service listens, as it is reached from the same machine."""
    anywhere = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 read, not bound
    host = anywhere.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
