"""A trial and its steps: what can be seen before anything is sent, the messages, and what has become of them, looked up as a report would.

No step waits longer than its limit, and none raises: what went wrong is a line of the report.
"""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import asyncpg
import httpx2

from app import clock, random_ids
from app.domain import ids, money
from app.domain.browsers import TRIAL_USER_AGENT
from app.errors import Invalid
from app.platforms.kit.digests import URL
from app.platforms.kit.trial import TrialMessages, TrialOrder, TrialRequest
from app.platforms.registry import platform_of
from app.secret import UnsealError, unseal
from app.settings import Settings
from app.trial.fixtures import Fixtures, make_fixtures

REQUEST_TIMEOUT_S = 5.0
"""Longest wait for one answer of our own doors."""
STEP_TIMEOUT_S = 15.0
"""Longest duration of one step."""
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""A TLS context without certificate authorities: we listen without TLS, and reading the authorities held up redirects for 50 to 100 ms a trial."""
NOBODY_THERE = "the trial asks the address the service listens on: look at HOST and PORT, and whether the service was started by `ariane serve`"
NET_MINOR, REFUND_MINOR = 4_990, 1_000
"""Net amount of the test order, and how much of it is refunded, in minor units."""
NUMBER_BITS = 31
RESOLVE_TIMEOUT_S = 2.0
"""Longest wait for the address of the public host."""
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


@dataclass(frozen=True, slots=True)
class TrialSample:
    """A message of the checkout's own to be tried. net_minor: what its order is worth, as a person knows; None where nobody said it."""

    body: Any
    headers: Mapping[str, str]
    net_minor: int | None


@dataclass(frozen=True, slots=True)
class TrialSource:
    """A source as its row holds it, with the fields that a trial needs."""

    brand_id: UUID
    token: str
    platform: str
    sealed: Sequence[str]
    source_settings: dict[str, Any]
    archived_at: datetime | None


@dataclass
class Trial:
    """One trial. What a step finds out stays here for the steps after it. address: where this service listens. expected: by the step under way."""

    settings: Settings
    secret: str
    pool: asyncpg.Pool
    source: TrialSource
    address: str
    client: httpx2.AsyncClient
    fixtures: Fixtures
    sample: TrialSample | None = None
    number: int = field(default_factory=lambda: random_ids.random_number(NUMBER_BITS) + 1)
    opened: list[str] = field(default_factory=list)
    click_id: str | None = None
    messages: TrialMessages | None = None
    delivery_ids: list[UUID] = field(default_factory=list)
    conversion_id: UUID | None = None
    outcome: Any = None
    expected: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a step found: one line of the report, whose last fields are filled in for it. ok: None where it could not be tried, or cannot be seen from here."""

    ok: bool | None
    found: str
    hint: str | None = None
    step: str = ""
    expected: str = ""
    took_ms: int = 0


# ── Before anything is sent ──────────────────────────────────────────────────────────────────────────────────────────


async def source(trial: Trial) -> Found:
    """An archived source accepts no messages."""
    if trial.source.archived_at is None:
        return Found(True, "in use")
    hint = "its address answers 404; bring it back with POST /v1/sources/{id}/unarchive"
    return Found(False, f"archived on {trial.source.archived_at:%Y-%m-%d}", hint)


async def secrets(trial: Trial) -> Found:
    """Opens the stored secrets, for the steps that sign."""
    trial.expected = "every stored secret can be opened with the service's present key"
    sealed = trial.source.sealed
    for text in sealed:
        with suppress(UnsealError):
            trial.opened.append(unseal(trial.secret, text))
    found = f"{len(trial.opened)} of {len(sealed)} can be opened"
    if not sealed and not platform_of(trial.source.platform).is_signed:
        return Found(True, "none is stored: whoever knows the address can report orders")
    if sealed and len(trial.opened) == len(sealed):
        return Found(True, found)
    hint = "they were stored under another ARIANE_SECRET_KEY: restore that key, or send the secrets again with PATCH /v1/sources/{id}"
    return Found(False, found, hint)


async def public_url(trial: Trial) -> Found:
    """A hint at most: whether the outside reaches us cannot be seen from the inside."""
    base_url = trial.settings.base_url
    host = urlsplit(base_url).hostname or ""
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            answers = await asyncio.get_running_loop().getaddrinfo(host, None)
    except (OSError, UnicodeError, TimeoutError):
        hint = "look at ARIANE_PUBLIC_URL and the DNS of that host"
        return Found(None, f"{base_url}: {host} has no address here", hint)
    addresses = sorted({str(answer[4][0]).partition("%")[0] for answer in answers})
    found = f"{base_url} is {', '.join(addresses[:4])}"
    if any(ip_address(address).is_global for address in addresses):
        return Found(True, found)
    hint = "a shop on the internet cannot post there: set ARIANE_PUBLIC_URL to the address the outside reaches this service by"
    return Found(None, f"{found}, which only this network reaches", hint)


# ── The click, the signed order and what has become of them ──────────────────────────────────────────────────────────


async def click(trial: Trial) -> Found:
    """Follows a short link as a visitor would, and keeps the click id from its destination."""
    fixtures = trial.fixtures
    trial.expected = f"302 to the destination with ?{fixtures.click_param}=clk_…"
    headers = {"User-Agent": TRIAL_USER_AGENT, "Host": urlsplit(trial.settings.base_url).netloc}
    answer = await trial.client.get(f"/{fixtures.slug}", headers=headers)
    query = parse_qsl(urlsplit(answer.headers.get("location", "")).query)
    trial.click_id = next((value for _, value in query if value.startswith("clk_")), None)
    if trial.click_id is not None:
        return Found(True, f"{answer.status_code} with {trial.click_id}")
    if answer.status_code == 302:
        full = "the click could not be written: the disk or the spool is full, see /readyz"
        return Found(False, "302 without a click id", full)
    other = f"another program answers on {trial.address}, or the host of ARIANE_PUBLIC_URL is a brand's own"
    found = f"{answer.status_code} for /{fixtures.slug}"
    return Found(False, found, other if answer.status_code == 404 else None)


async def order(trial: Trial) -> Found:
    """Posts the platform's messages about a test order that brings the click and the code along."""
    if trial.source.sealed and not trial.opened:
        return Found(None, "not tried: no secret can be opened to sign with")
    fixtures = trial.fixtures
    trial.expected = "200 for every message of a signed test order"
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
        sample=None if trial.sample is None else trial.sample.body,
        sample_headers={} if trial.sample is None else trial.sample.headers,
        currencies=fixtures.currencies,
    )
    try:
        trial.messages = platform_of(trial.source.platform).trial_messages(
            test_order,
            next(iter(trial.opened), ""),
            {**trial.source.source_settings, URL: f"{trial.settings.base_url}/in/{trial.source.token}"},
        )
    except Invalid as error:
        return Found(None, "its settings cannot be rehearsed", error.message)
    if trial.messages is None:
        found = f"{trial.source.platform} cannot be rehearsed yet"
        return Found(None, found, "place a test order in the shop instead")
    return await _send(trial, trial.messages.order)


async def recorded(trial: Trial) -> Found:
    """Waits until the messages of the order are recorded, and finds the order."""
    rows = await _poll(lambda: _deliveries(trial))
    if rows is None:
        return await _not_recorded(trial)
    refused = next((row for row in rows if row["status"] not in ("recorded", "ignored")), None)
    if refused is not None:
        return Found(False, f"{refused['status']}: {refused['reason']}", refused["detail"])
    trial.conversion_id = next((row["conversion_id"] for row in rows if row["conversion_id"]), None)
    if trial.conversion_id is None:
        return Found(False, "understood, but no order was read in it")
    await _look_up(trial)
    return Found(True, f"recorded as {ids.show('conversion', trial.outcome['id'])}")


async def test_mode(trial: Trial) -> Found:
    """A test order is in no report."""
    if trial.outcome["test"]:
        return Found(True, "test")
    return Found(False, "a real order", "this order counts in the reports now: refund or reject it")


async def amount(trial: Trial) -> Found:
    """The amount must be read to the minor unit. Of a mapping only its author can say what is right: what the trial wrote where the mapping looks
    would be read back whatever the mapping says."""
    found = _show(trial.outcome["net_minor"], trial.outcome["currency"], trial.fixtures)
    if trial.sample is not None and trial.sample.net_minor is None:
        trial.expected = "what the order of the sample is worth, before tax and shipping"
        return Found(None, found, "send that as `net_minor`, in minor units, and the trial compares it")
    if trial.sample is None and trial.source.source_settings.get("mapping") is not None:
        return Found(
            None,
            found,
            "written by the trial where the mapping looks: send a `sample` of the shop, with its `net_minor`",
        )
    if trial.sample is None:
        trial.expected = _show(NET_MINOR, trial.fixtures.currency, trial.fixtures)
    else:
        trial.expected = _show(trial.sample.net_minor, trial.outcome["currency"], trial.fixtures)
    ok = trial.expected == found
    return Found(ok, found, None if ok else "GET /v1/deliveries/{id} shows what was read in the message")


async def code(trial: Trial) -> Found:
    """Whether the code in the order was read and belongs to the brand."""
    fixtures = trial.fixtures
    trial.expected = f"the order brings the code {fixtures.code} along"
    return _candidate(trial, "code", str(fixtures.code_id))


async def click_named(trial: Trial) -> Found:
    """Whether the click id in the order was read and belongs to a recorded click."""
    assert trial.click_id is not None
    click_id = str(ids.read("click", trial.click_id))
    trial.expected = f"the order brings the click {trial.click_id} along"

    async def drained() -> Found | None:
        await _look_up(trial)
        found = _candidate(trial, "click", click_id)
        return found if found.ok else None

    # The order may be there before its click, which comes by a spool of its own; the order is then decided again.
    return await _poll(drained) or _candidate(trial, "click", click_id)


async def credit(trial: Trial) -> Found:
    """The collaboration that has the link and the code of the trial must be credited."""
    collaboration_id = str(trial.fixtures.collaboration_id)
    given = json.loads(trial.outcome["credits"] or "[]")
    weight_bp = sum(each["weight_bp"] for each in given if each["collaboration_id"] == collaboration_id)
    ok = weight_bp == 10_000
    hint = None if ok else "GET /v1/conversions?order_id=… shows every candidate and why it lost"
    return Found(ok, f"{weight_bp / 100:g} %, {trial.outcome['verdict']}", hint)


# ── The signed refund ────────────────────────────────────────────────────────────────────────────────────────────────


async def refund(trial: Trial) -> Found:
    """Posts the platform's messages about a refund of a part of that order."""
    assert trial.messages is not None
    trial.expected = "200 for every message of its signed refund"
    if trial.sample is not None:
        return Found(None, "not tried: the sample is an order", "try the source without a sample as well")
    if not trial.messages.refund:
        return Found(
            None, "this source reads no refunds", "report them by POST /v1/refunds, or add a rule to its mapping"
        )
    return await _send(trial, trial.messages.refund)


async def refunded(trial: Trial) -> Found:
    """Waits until the refund is folded into the order."""
    currency = trial.fixtures.currency
    trial.expected = f"{_show(REFUND_MINOR, currency, trial.fixtures)} taken back"
    if await _poll(lambda: _deliveries(trial)) is None:
        return await _not_recorded(trial)
    await _look_up(trial)
    refunded_minor = trial.outcome["refunded_minor"]
    ok = refunded_minor == REFUND_MINOR
    hint = None if ok else "GET /v1/deliveries?source_id=… shows what was read in the refund"
    return Found(ok, f"{_show(refunded_minor, currency, trial.fixtures)} taken back", hint)


# ── Shared by the steps ──────────────────────────────────────────────────────────────────────────────────────────────


async def _send(trial: Trial, messages: Sequence[TrialRequest]) -> Found:
    trial.delivery_ids = []
    for message in messages:
        path = f"/in/{trial.source.token}" + (f"?{message.query}" if message.query else "")
        answer = await trial.client.request(message.method, path, content=message.body, headers=dict(message.headers))
        if answer.status_code != 200:
            problem = _problem(answer)
            return Found(False, f"{answer.status_code} {problem.get('code', '')}".strip(), problem.get("detail"))
        with suppress(ValueError, KeyError):
            trial.delivery_ids.append(ids.read("delivery", answer.json()["id"]))
    return Found(True, f"200 for {len(messages)}")


def _problem(answer: httpx2.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


async def _deliveries(trial: Trial) -> list[asyncpg.Record] | None:
    """The rows of the messages, once all of them are there and read."""
    rows = await trial.pool.fetch(DELIVERIES, trial.source.brand_id, trial.delivery_ids)
    done = [row for row in rows if row["status"] != "received"]
    return done if trial.delivery_ids and len(done) == len(trial.delivery_ids) else None


async def _not_recorded(trial: Trial) -> Found:
    last = await trial.pool.fetchval(LAST_DRAINED)
    hint = "the background process works: it may be busy with much else, or its log says what is wrong"
    if last is None or clock.now() - last > IDLE:
        since = "has never worked" if last is None else f"last worked at {last:%Y-%m-%d %H:%M:%S} UTC"
        start = "start it with `ariane serve` (or `ariane work`), what waits is recorded then"
        hint = f"the background process {since}: {start}"
    return Found(False, f"not recorded after {RECORD_TIMEOUT_S:.0f} s; it is safe on the disk", hint)


async def _look_up(trial: Trial) -> None:
    trial.outcome = await trial.pool.fetchrow(OUTCOME, trial.source.brand_id, trial.conversion_id)


def _candidate(trial: Trial, method: str, value: str) -> Found:
    """Whether the decision has weighed this code or click."""
    candidates = json.loads(trial.outcome["candidates"] or "[]")
    found = next((each for each in candidates if each["method"] == method and each[f"{method}_id"] == value), None)
    if found is None:
        missing = f"the messages of {trial.source.platform} did not bring the {method} along"
        return Found(False, f"the order names no such {method}", missing)
    # Which of the two takes the order is the brand's policy; either may.
    outranked = found["reason"] == "outranked"
    shown = "it does, and the policy prefers the other (outranked)" if outranked else f"it does ({found['reason']})"
    return Found(found["eligible"], shown, None if found["eligible"] else "docs/attribution.md explains every reason")


async def _poll(look: Callable[[], Awaitable[T | None]]) -> T | None:
    """What `look` finds, once it finds something; None after RECORD_TIMEOUT_S."""
    deadline_s = clock.monotonic_s() + RECORD_TIMEOUT_S
    while (found := await look()) is None:
        if clock.monotonic_s() > deadline_s:
            return None
        await asyncio.sleep(POLL_S)
    return found


def _show(minor: int | None, currency: str | None, fixtures: Fixtures) -> str:
    if minor is None or currency is None:
        return "no amount"
    return f"{money.to_decimal(minor, currency, fixtures.currencies)} {currency}"


# ── All steps in their order ─────────────────────────────────────────────────────────────────────────────────────────


class PlannedStep(NamedTuple):
    """A step of every trial. needs: the steps that must have passed before it is tried. expected: shown unless the check says it more exactly."""

    check: Callable[[Trial], Awaitable[Found]]
    expected: str
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The word for it in the report."""
        return self.check.__name__


STEPS = (
    PlannedStep(source, "the source is in use"),
    PlannedStep(secrets, "every stored secret can be opened"),
    PlannedStep(public_url, "the address given to the shop leads to a public host"),
    PlannedStep(click, "302 with a click id"),
    PlannedStep(order, "200 for a signed test order", ("source",)),
    PlannedStep(recorded, "the background process has recorded the order", ("order",)),
    PlannedStep(test_mode, "kept as a test, outside every report", ("recorded",)),
    PlannedStep(amount, "the amount that was sent", ("recorded",)),
    PlannedStep(code, "the order brings the code along", ("recorded",)),
    PlannedStep(click_named, "the order brings the click along", ("recorded", "click")),
    PlannedStep(credit, "100 % to the test's own collaboration", ("recorded",)),
    PlannedStep(refund, "200 for its signed refund", ("recorded",)),
    PlannedStep(refunded, "the refund taken back", ("refund",)),
)


async def run_trial(
    settings: Settings, secret: str, pool: asyncpg.Pool, source: TrialSource, sample: TrialSample | None = None
) -> tuple[Trial, list[Found]]:
    """Runs every step: the trial as it ended, and the report."""
    fixtures = await make_fixtures(pool, source.brand_id, f"{settings.base_url}/")
    address = own_address(settings)
    limits = httpx2.Timeout(REQUEST_TIMEOUT_S)
    # No proxy from the environment and no redirect followed: no request leaves for anything but our own listener.
    async with httpx2.AsyncClient(
        base_url=address, timeout=limits, trust_env=False, follow_redirects=False, verify=NO_AUTHORITIES
    ) as client:
        trial = Trial(settings, secret, pool, source, address, client, fixtures, sample)
        lines: list[Found] = []
        passed: dict[str, bool] = {}
        for step in STEPS:
            missing = next((need for need in step.needs if not passed[need]), None)
            if missing is None:
                line = await _run(step, trial)
            else:
                line = Found(None, f"not tried: `{missing}` did not pass", step=step.name, expected=step.expected)
            passed[step.name] = line.ok is True
            lines.append(line)
        return trial, lines


async def _run(step: PlannedStep, trial: Trial) -> Found:
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
    return replace(found, step=step.name, expected=trial.expected, took_ms=took_ms)


def own_address(settings: Settings) -> str:
    """Where this service listens, as it is reached from the same machine."""
    anywhere = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 read, not bound
    host = anywhere.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
