"""The trial of a source: click → code → order → refund through the real doors, in test mode, with what was expected and found at every step.

Everything is asked of this service's own address, never of one that a caller names, and as the outside would ask: a short link over HTTP, the
platform's own messages signed with the source's own secret. What becomes of them is then looked up as a report would. No step waits longer than
its limit, and none raises: what went wrong is a line.
"""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import asyncpg
import httpx2

from app import clock, mint
from app.api.trial_cast import Cast, assemble
from app.domain import ids, money
from app.domain.rehearsal import USER_AGENT, Rehearsal, Scene, Sent
from app.errors import Invalid
from app.intake.messages import PLATFORMS
from app.secret import UnsealError, unseal
from app.settings import Settings

REQUEST_TIMEOUT_S = 5.0
"""Longest wait for one answer of our own doors."""
RECORD_TIMEOUT_S = 10.0
"""Longest wait until the background process has recorded what the doors took in."""
RESOLVE_TIMEOUT_S = 2.0
STEP_TIMEOUT_S = 15.0
POLL_S = 0.1
IDLE = timedelta(seconds=10)
"""A background process that works says so every second."""
NET_MINOR, REFUND_MINOR = 4_990, 1_000
NUMBER_BITS = 31
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""We listen without TLS. Reading the world's certificate authorities for a client that needs none held up the redirects for 50 to 100 ms a trial."""

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


@dataclass(frozen=True, slots=True)
class Found:
    """What a step found. ok: None where it could not be tried, or cannot be told from here."""

    ok: bool | None
    expected: str
    found: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Line(Found):
    """One line of the report."""

    step: str = ""
    took_ms: int = 0


@dataclass(frozen=True, slots=True)
class Tried:
    """A source as it stands in its row, with what a trial needs beside it."""

    brand_id: UUID
    token: str
    platform: str
    sealed: Sequence[str]
    source_settings: dict[str, Any]
    archived_at: datetime | None


@dataclass
class Trial:
    """One trial. What a step learns stays here for those after it."""

    settings: Settings
    secret: str
    pool: asyncpg.Pool
    source: Tried
    client: httpx2.AsyncClient
    number: int = field(default_factory=lambda: mint.random_number(NUMBER_BITS) + 1)
    opened: list[str] = field(default_factory=list)
    cast: Cast | None = None
    click_id: str | None = None
    scene: Scene | None = None
    delivery_ids: list[UUID] = field(default_factory=list)
    conversion_id: UUID | None = None
    outcome: asyncpg.Record | None = None


async def play(settings: Settings, secret: str, pool: asyncpg.Pool, source: Tried) -> tuple[Trial, list[Line]]:
    """Plays every step; the trial as it ended and the report."""
    limits = httpx2.Timeout(REQUEST_TIMEOUT_S)
    base_url = own_address(settings)
    # No proxy from the environment and no redirect followed: nothing but our own listener is ever asked.
    async with httpx2.AsyncClient(
        base_url=base_url, timeout=limits, trust_env=False, follow_redirects=False, verify=NO_AUTHORITIES
    ) as client:
        trial = Trial(settings, secret, pool, source, client)
        lines: list[Line] = []
        stood: dict[str, bool] = {}
        for step in STEPS:
            missing = next((need for need in step.needs if not stood[need]), None)
            line = await _take(step, trial) if missing is None else _skipped(step, missing)
            stood[step.name] = line.ok is True
            lines.append(line)
        return trial, lines


def own_address(settings: Settings) -> str:
    """Where this service listens, as it is reached from the same machine."""
    anywhere = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 read, not bound
    host = anywhere.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


async def _take(step: "Step", trial: Trial) -> Line:
    began_s = clock.monotonic_s()
    try:
        async with asyncio.timeout(STEP_TIMEOUT_S):
            found = await step.run(trial)
    except TimeoutError:
        found = Found(False, step.expected, f"nothing within {STEP_TIMEOUT_S:.0f} s")
    except httpx2.HTTPError as error:
        found = Found(
            False, step.expected, f"no answer from {own_address(trial.settings)} ({type(error).__name__})", NOBODY_THERE
        )
    took_ms = round((clock.monotonic_s() - began_s) * 1_000)
    return Line(found.ok, found.expected, found.found, found.hint, step.name, took_ms)


def _skipped(step: "Step", missing: str) -> Line:
    return Line(None, step.expected, f"not tried: `{missing}` did not pass", None, step.name, 0)


NOBODY_THERE = "the trial asks the address the service listens on: look at HOST and PORT, and whether the service was started by `ariane serve`"


# ── What can be seen from here ───────────────────────────────────────────────────────────────────────────────────────


async def _in_use(trial: Trial) -> Found:
    expected = "the source is in use"
    if trial.source.archived_at is not None:
        hint = "its address answers 404; connect the shop again with POST /v1/sources"
        return Found(False, expected, f"archived on {trial.source.archived_at:%Y-%m-%d}", hint)
    return Found(True, expected, "in use")


async def _secrets(trial: Trial) -> Found:
    sealed = trial.source.sealed
    for text in sealed:
        with suppress(UnsealError):
            trial.opened.append(unseal(trial.secret, text))
    expected = "every stored secret can be opened with the service's present key"
    found = f"{len(trial.opened)} of {len(sealed)} can be opened"
    if not sealed and trial.source.platform == "postback":
        return Found(True, expected, "none is stored: whoever knows the address can report orders")
    if sealed and len(trial.opened) == len(sealed):
        return Found(True, expected, found)
    hint = "they were stored under another ARIANE_SECRET_KEY: restore that key, or send the secrets again with PATCH /v1/sources/{id}"
    return Found(False, expected, found, hint)


async def _public_address(trial: Trial) -> Found:
    """A hint only: whether the outside reaches us cannot be told from the inside."""
    base_url = trial.settings.base_url
    expected = "the address given to the shop leads to a public host"
    host = urlsplit(base_url).hostname or ""
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            answers = await asyncio.get_running_loop().getaddrinfo(host, None)
    except (OSError, UnicodeError, TimeoutError):
        return Found(
            None,
            expected,
            f"{base_url}: {host} has no address here",
            "look at ARIANE_PUBLIC_URL and the DNS of that host",
        )
    addresses = sorted({str(answer[4][0]).partition("%")[0] for answer in answers})
    if any(ip_address(address).is_global for address in addresses):
        return Found(True, expected, f"{base_url} is {', '.join(addresses[:4])}")
    hint = "a shop on the internet cannot post there: set ARIANE_PUBLIC_URL to the address the outside reaches this service by"
    return Found(None, expected, f"{base_url} is {', '.join(addresses[:4])}, which only this network reaches", hint)


# ── Through the doors ────────────────────────────────────────────────────────────────────────────────────────────────


async def _click(trial: Trial) -> Found:
    cast = trial.cast = await assemble(trial.pool, trial.source.brand_id, f"{trial.settings.base_url}/")
    expected = f"302 to the destination with ?{cast.click_param}=clk_…"
    headers = {"User-Agent": USER_AGENT, "Host": urlsplit(trial.settings.base_url).netloc}
    answer = await trial.client.get(f"/{cast.slug}", headers=headers)
    location = answer.headers.get("location", "")
    query = parse_qsl(urlsplit(location).query)
    trial.click_id = next((value for _, value in query if value.startswith("clk_")), None)
    if trial.click_id is not None:
        return Found(True, expected, f"{answer.status_code} with {trial.click_id}")
    if answer.status_code == 302:
        return Found(
            False,
            expected,
            "302 without a click id",
            "the click could not be written: the disk or the spool is full, see /readyz",
        )
    hint = (
        f"another program answers on {own_address(trial.settings)}, or the host of ARIANE_PUBLIC_URL is a brand's own"
        if answer.status_code == 404
        else None
    )
    return Found(False, expected, f"{answer.status_code} for /{cast.slug}", hint)


async def _order(trial: Trial) -> Found:
    if trial.source.sealed and not trial.opened:
        return Found(None, "200 for a signed test order", "not tried: no secret can be opened to sign with")
    if trial.cast is None:
        trial.cast = await assemble(trial.pool, trial.source.brand_id, f"{trial.settings.base_url}/")
    expected = "200 for every message of a signed test order"
    platform = PLATFORMS.get(trial.source.platform)
    if platform is None or platform.rehearse is None:
        return Found(
            None, expected, f"{trial.source.platform} cannot be rehearsed yet", "place a test order in the shop instead"
        )
    now = clock.now()
    plan = Rehearsal(
        number=trial.number,
        currency=trial.cast.currency,
        net_minor=NET_MINOR,
        refund_minor=REFUND_MINOR,
        ordered_at=now,
        refunded_at=now,
        code=trial.cast.code,
        click_id=trial.click_id,
    )
    try:
        trial.scene = platform.rehearse(plan, next(iter(trial.opened), ""), trial.source.source_settings)
    except Invalid as error:
        return Found(None, expected, "its settings cannot be rehearsed", error.message)
    return await _send(trial, trial.scene.order, expected)


async def _refund(trial: Trial) -> Found:
    assert trial.scene is not None
    expected = "200 for every message of its signed refund"
    if not trial.scene.refund:
        return Found(
            None,
            expected,
            "this source reads no refunds",
            "report them by POST /v1/refunds, or add a rule to its mapping",
        )
    return await _send(trial, trial.scene.refund, expected)


async def _send(trial: Trial, messages: Sequence[Sent], expected: str) -> Found:
    trial.delivery_ids = []
    for sent in messages:
        path = f"/in/{trial.source.token}" + (f"?{sent.query}" if sent.query else "")
        answer = await trial.client.request(sent.method, path, content=sent.body, headers=dict(sent.headers))
        if answer.status_code != 200:
            problem = _problem(answer)
            return Found(
                False, expected, f"{answer.status_code} {problem.get('code', '')}".strip(), problem.get("detail")
            )
        with suppress(ValueError, KeyError):
            trial.delivery_ids.append(ids.read("delivery", answer.json()["id"]))
    return Found(True, expected, f"200 for {len(messages)}")


def _problem(answer: httpx2.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


# ── What has become of it ────────────────────────────────────────────────────────────────────────────────────────────


async def _recorded(trial: Trial) -> Found:
    expected = "the background process has recorded the order"
    rows = await _poll(lambda: _deliveries(trial))
    if rows is None:
        return await _not_recorded(trial, expected)
    refused = next((row for row in rows if row["status"] not in ("recorded", "ignored")), None)
    if refused is not None:
        return Found(False, expected, f"{refused['status']}: {refused['reason']}", refused["detail"])
    trial.conversion_id = next((row["conversion_id"] for row in rows if row["conversion_id"]), None)
    if trial.conversion_id is None:
        return Found(False, expected, "understood, but no order was read in it")

    trial.outcome = await trial.pool.fetchrow(OUTCOME, trial.source.brand_id, trial.conversion_id)
    assert trial.outcome is not None
    return Found(True, expected, f"recorded as {ids.show('conversion', trial.outcome['id'])}")


async def _deliveries(trial: Trial) -> list[asyncpg.Record] | None:
    """The rows of what was sent, once all of them are there and read."""
    rows = await trial.pool.fetch(DELIVERIES, trial.source.brand_id, trial.delivery_ids)
    done = [row for row in rows if row["status"] != "received"]
    return done if trial.delivery_ids and len(done) == len(trial.delivery_ids) else None


async def _not_recorded(trial: Trial, expected: str) -> Found:
    waited = f"not recorded after {RECORD_TIMEOUT_S:.0f} s; it is safe on the disk"
    last = await trial.pool.fetchval(LAST_DRAINED)
    if last is None or clock.now() - last > IDLE:
        since = "has never worked" if last is None else f"last worked at {last:%Y-%m-%d %H:%M:%S} UTC"
        return Found(
            False,
            expected,
            waited,
            f"the background process {since}: start it with `ariane serve` (or `ariane work`), what waits is recorded then",
        )
    return Found(
        False,
        expected,
        waited,
        "the background process works: it may be busy with much else, or its log says what is wrong",
    )


async def _test_mode(trial: Trial) -> Found:
    assert trial.outcome is not None
    test = trial.outcome["test"]
    hint = None if test else "this order counts in the reports now: refund or reject it"
    return Found(test, "kept as a test, outside every report", "test" if test else "a real order", hint)


async def _amount(trial: Trial) -> Found:
    assert trial.outcome is not None
    assert trial.cast is not None
    expected, found = (
        _amounts(NET_MINOR, trial.cast.currency),
        _amounts(trial.outcome["net_minor"], trial.outcome["currency"]),
    )
    return Found(
        expected == found,
        expected,
        found,
        None if expected == found else "GET /v1/deliveries/{id} shows what was read in the message",
    )


async def _code(trial: Trial) -> Found:
    assert trial.cast is not None
    return _candidate(
        trial, "code", "code_id", str(trial.cast.code_id), f"the order brings the code {trial.cast.code} along"
    )


async def _click_named(trial: Trial) -> Found:
    assert trial.click_id is not None
    signal, expected = str(ids.read("click", trial.click_id)), f"the order brings the click {trial.click_id} along"

    async def drained() -> Found | None:
        trial.outcome = await trial.pool.fetchrow(OUTCOME, trial.source.brand_id, trial.conversion_id)
        found = _candidate(trial, "click", "click_id", signal, expected)
        return found if found.ok else None

    # The order may be there before its click, which comes by a spool of its own; the order is then decided again.
    return await _poll(drained) or _candidate(trial, "click", "click_id", signal, expected)


def _candidate(trial: Trial, method: str, name: str, value: str, expected: str) -> Found:
    assert trial.outcome is not None
    candidates = json.loads(trial.outcome["candidates"] or "[]")
    found = next((each for each in candidates if each["method"] == method and each[name] == value), None)
    if found is None:
        hint = f"the messages of {trial.source.platform} did not bring the {method} along"
        return Found(False, expected, f"the order names no such {method}", hint)
    # Which of the two takes the order is the brand's policy; either may.
    reason = found["reason"]
    return Found(
        found["eligible"],
        expected,
        "it does, and the policy prefers the other (outranked)" if reason == "outranked" else f"it does ({reason})",
        None if found["eligible"] else "docs/attribution.md explains every reason",
    )


async def _credit(trial: Trial) -> Found:
    assert trial.outcome is not None
    assert trial.cast is not None
    expected = "100 % to the test's own collaboration"
    given = json.loads(trial.outcome["credits"] or "[]")
    ours = sum(each["weight_bp"] for each in given if each["collaboration_id"] == str(trial.cast.collaboration_id))
    hint = None if ours == 10_000 else "GET /v1/conversions?order_id=… shows every candidate and why it lost"
    return Found(ours == 10_000, expected, f"{ours / 100:g} %, {trial.outcome['verdict']}", hint)


async def _refunded(trial: Trial) -> Found:
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
    return Found(
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


# ── The steps, in their order ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Step:
    """needs: the steps that must have passed for this one to be tried. expected: what a line says when it was not."""

    name: str
    run: Callable[[Trial], Awaitable[Found]]
    expected: str
    needs: tuple[str, ...] = ()


STEPS = (
    Step("source", _in_use, "the source is in use"),
    Step("secrets", _secrets, "every stored secret can be opened"),
    Step("public_url", _public_address, "the address given to the shop leads to a public host"),
    Step("click", _click, "302 with a click id"),
    Step("order", _order, "200 for a signed test order", ("source",)),
    Step("recorded", _recorded, "the background process has recorded the order", ("order",)),
    Step("test_mode", _test_mode, "kept as a test, outside every report", ("recorded",)),
    Step("amount", _amount, "the amount that was sent", ("recorded",)),
    Step("code", _code, "the order brings the code along", ("recorded",)),
    Step("click_named", _click_named, "the order brings the click along", ("recorded", "click")),
    Step("credit", _credit, "100 % to the test's own collaboration", ("recorded",)),
    Step("refund", _refund, "200 for its signed refund", ("recorded",)),
    Step("refunded", _refunded, "the refund taken back", ("refund",)),
)
