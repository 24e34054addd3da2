"""Bodies that no shop means to send, rightly signed, so that every parser sees them: nothing raises, and what is refused has a documented reason."""

import json
import math
import os
import re
from collections import Counter
from functools import cache
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from app import clock, random_ids
from app.domain import ids
from app.domain.orders import Context, OrderReport, Parsed, RefundReport, encode_report
from app.intake.deliveries.messages import message_of
from app.intake.deliveries.recording import record_deliveries
from app.spool.records import HookLine
from tests.cast import Brand
from tests.checkouts.mutations import NOW, malformed
from tests.checkouts.samples import SAMPLES
from tests.checkouts.signing import CHECKOUTS
from tests.checkouts.signing import SECRET as SIGNED_WITH
from tests.tracking.asking import ask, running_doors, settings_for, spooled
from tests.tracking.rows import SECRET, write_source

pytestmark = pytest.mark.faults

LONG = bool(os.environ.get("ARIANE_TESTS_LONG"))
CASES = 20_000 if LONG else 1_500
STRIDE = 1 if LONG else 7
"""Every how many of them also goes through the door and into the database."""
BATCH = 200
PAGE = Path(__file__).parents[2] / "docs" / "deliveries.md"
NOBODY = str(UUID(int=0))
INT8 = 2**63


@cache
def documented(status: str) -> frozenset[str]:
    """The reasons that docs/deliveries.md has under this status."""
    text = PAGE.read_text()
    parts = re.split(r"^\*\*`(\w+)`: .*$", text.split("## Reasons")[1].split("## Finding")[0], flags=re.M)
    tables = [table for word, table in zip(parts[1::2], parts[2::2], strict=True) if word == status]
    rows = [line.split("|")[1] for table in tables for line in table.splitlines() if line.startswith("| `")]
    return frozenset(word for row in rows for word in re.findall(r"`(\w+)`", row))


def read(line: HookLine, settings: object) -> Parsed:
    message = message_of(line)
    context = Context(NOW, "EUR", lambda number, email: f"{number}/{email}", settings=settings)  # type: ignore[arg-type]
    return message.read(context)


def faults(said: Parsed) -> list[str]:
    """What is wrong with a parser's answer, whatever it was asked."""
    found = []
    spoken = [bool(said.reports or said.landings), said.ignored is not None, said.rejected is not None]
    if sum(spoken) != 1:
        found.append(f"it says {spoken}")
    for word, status in ((said.rejected, "rejected"), (said.ignored, "ignored")):
        if word is not None and word not in documented(status):
            found.append(f"{status} {word!r} is not in docs/deliveries.md")
    if said.rejected is not None and not (said.detail or "").strip():
        found.append("rejected without a sentence")
    for report in said.reports:
        found += [fault for fact in (report, *report.refunds) for fault in unkept(fact)]
        found += [] if all(report.refs) and report.refs else ["a report without a name"]
    return found


def unkept(fact: OrderReport | RefundReport) -> list[str]:
    """What of a fact no column could hold."""
    written = encode_report(fact)
    found = [f"{fact!r} holds NUL"] if b"\\u0000" in written else []
    for name in fact.__struct_fields__:
        value = getattr(fact, name)
        if isinstance(value, int) and not -INT8 <= value < INT8:
            found.append(f"{name} is {value}")
        if name.endswith("_minor") and value is not None and (not isinstance(value, int) or value < 0):
            found.append(f"{name} is {value!r}")
    return found


def test_the_sample_through_the_door_takes_every_checkout() -> None:
    assert math.gcd(STRIDE, len(SAMPLES)) == 1, "a stride that divides the samples leaves some of them out"


def test_the_reasons_are_read_from_the_page() -> None:
    assert {"not_json", "too_many", "invalid_amount"} <= documented("rejected")
    assert {"unknown_topic", "no_rule"} <= documented("ignored")


def test_no_parser_raises_and_every_refusal_is_documented() -> None:
    wrong: dict[int, list[str]] = {}
    seen: Counter[str] = Counter()
    for number in range(CASES):
        sample, sent = malformed(number)
        line = sample.checkout.spooled(
            sent, line_id=str(random_ids.new_id()), brand_id=NOBODY, source_id=NOBODY, at=NOW
        )
        try:
            said = read(line, sample.checkout.settings)
        except Exception as error:
            wrong[number] = [f"{sample.checkout.name}: {type(error).__name__}: {error}"[:300]]
            continue
        found = faults(said)
        if found:
            wrong[number] = [f"{sample.checkout.name}: {fault}"[:300] for fault in found]
        seen[said.rejected or said.ignored or "recorded"] += 1
    print(f"{CASES} malformed messages: {dict(seen.most_common())}")
    assert not wrong, f"{len(wrong)} of {CASES}: {dict(list(wrong.items())[:20])}"
    assert len(seen) > 12, "the mutations reach few branches"


# ── Through the door and into the database ───────────────────────────────────────────────────────────────────────────


def test_the_mutations_are_rightly_signed() -> None:
    unsigned = []
    for number in range(0, CASES, 7):
        sample, sent = malformed(number)
        line = sample.checkout.spooled(sent, line_id=NOBODY, brand_id=NOBODY, source_id=NOBODY, at=NOW)
        unsigned += [] if line.signed else [(number, sample.checkout.name, line.reason)]
    # A body that says a token of its own beside the query's says two: the only way to spoil the proof.
    assert unsigned == []


async def test_every_message_is_answered_and_becomes_a_row_with_a_status(
    pool: asyncpg.Pool, alice: Brand, dsn: str, tmp_path: Path
) -> None:
    own = settings_for(dsn, tmp_path)
    sources = {}
    for checkout in CHECKOUTS.values():
        sources[checkout.name] = await write_source(
            pool, alice, checkout.platform, SIGNED_WITH, settings=json.dumps(checkout.settings)
        )
    answers: Counter[int] = Counter()
    taken: dict[str, int] = {}
    async with running_doors(own) as doors:
        for number in range(0, CASES, STRIDE):
            sample, sent = malformed(number, clock.now())
            token, _ = sources[sample.checkout.name]
            answer = await ask(
                doors, sent.method, f"/in/{token}?{sent.query}", headers=list(sent.headers.items()), body=sent.body
            )
            answers[answer.status] += 1
            if answer.status == 200 and json.loads(answer.body)["status"] == "received":
                taken[json.loads(answer.body)["id"]] = number
    assert set(answers) <= {200, 413}, answers
    lines = spooled(own, "orders")
    assert len(lines) == len(taken)
    for start in range(0, len(lines), BATCH):
        await record_deliveries(pool, lines[start : start + BATCH], secret=SECRET, settings=own)
    rows = await pool.fetch("SELECT id, platform, status, reason, detail FROM delivery WHERE brand_id = $1", alice.id)
    kept = {(row["status"], row["reason"]) for row in rows}
    undocumented = {(status, word) for status, word in kept if word and word not in documented(status)}
    refused = [
        (taken.get(ids.show("delivery", row["id"])), row["detail"]) for row in rows if row["reason"] == "not_recordable"
    ]
    assert not refused, f"{len(refused)} not recordable: {refused[:10]}"
    assert not undocumented
    assert {row["status"] for row in rows} == {"recorded", "ignored", "rejected"}
    # A message that is the same to the byte, from the same source, is the same delivery.
    same = {(line.source_id, message_of(line).identity[1], message_of(line).body_hash) for line in lines}  # type: ignore[union-attr, arg-type]
    assert len(rows) == len(same)
    print(f"{sum(answers.values())} through the door: {dict(answers)}, {len(rows)} rows")
