"""The job `import`: every line of an uploaded file becomes a report of an order or a refund, or a line that says why not.

Lines are recorded in batches, each with the lines it refused, the count and the checkpoint in one transaction: a job that is taken up again goes
on after the last one. A line that the database refuses is found by halving its batch. What was imported before is known by its words
(the door is `import`), so the same file again adds nothing.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from app.database.errors import is_about_data
from app.domain.csv_files import Refusal
from app.domain.order_file import read_line
from app.domain.orders import TRUST_SERVER, OrderReport, Receipt
from app.jobs.files import context_of, records, sheet_of
from app.jobs.run import Interrupted, JobLine, Run
from app.orders.record import Recorded, record

log = logging.getLogger("ariane.jobs")

BATCH_ROWS = 250
"""Recorded in one transaction: their orders stay locked that long."""
YIELD_ROWS = 50
"""Read without letting others work: some milliseconds."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line: what it reports, why it is refused, or None for one with nothing in it."""

    number: int
    said: OrderReport | Refusal | None


async def run_import(run: Run) -> Mapping[str, Any]:
    """Records the file, or only reads it (`dry_run`); answers how many lines came to what."""
    sheet = sheet_of(run.arguments)
    context = await context_of(run)
    receipt = Receipt(TRUST_SERVER, "import", "import", run.created_at)
    importing = Import(run, receipt, dry_run=run.arguments["dry_run"])
    batch: list[Item] = []
    async for each in records(run, sheet, skip=run.done):
        batch.append(Item(each.number, read_line(each, sheet, context, run.arguments.get("kind"))))
        if len(batch) % YIELD_ROWS == 0:
            await asyncio.sleep(0)
        if len(batch) == BATCH_ROWS:
            await importing.take(batch)
            batch = []
    await importing.take(batch)
    return importing.result()


class Import:
    """What came of the lines so far, and the taking of more."""

    def __init__(self, run: Run, receipt: Receipt, *, dry_run: bool) -> None:
        self.run = run
        self.receipt = receipt
        self.dry_run = dry_run
        self.run.told = self.result()

    @property
    def counts(self) -> Counter[str]:
        """As they were committed last."""
        return Counter(self.run.checkpoint.get("counts"))

    async def take(self, items: Sequence[Item]) -> None:
        """Records these lines; of lines that the database refuses, all others."""
        if not items:
            return
        try:
            await self._commit(items)
        except Interrupted:
            raise
        except Exception as error:
            if not is_about_data(error):
                raise
            if len(items) > 1:
                middle = len(items) // 2
                await self.take(items[:middle])
                await self.take(items[middle:])
            else:
                log.error("line %d of job %s cannot be recorded", items[0].number, self.run.id, exc_info=error)
                await self._commit([Item(items[0].number, _unrecordable(items[0].said))])

    async def _commit(self, items: Sequence[Item]) -> None:
        async def work(connection: asyncpg.Connection) -> Mapping[str, Any]:
            counts = self.counts
            lines = [_refused(each, counts) for each in items if isinstance(each.said, Refusal)]
            reports = [(each.number, each.said) for each in items if isinstance(each.said, OrderReport)]
            counts["blank"] += len(items) - len(lines) - len(reports)
            if self.dry_run:
                counts.update("refunds.readable" if report.stub else "orders.readable" for _, report in reports)
            else:
                told = [(report, self.receipt) for _, report in reports]
                recorded = await record(connection, self.run.brand_id, told)
                for (number, report), each in zip(reports, recorded, strict=True):
                    lines += _count(number, report, each, counts)
            await self.run.add_lines(connection, lines)
            return {"counts": counts}

        try:
            await self.run.commit(work, done=self.run.done + len(items))
        finally:
            self.run.told = self.result()

    def result(self) -> dict[str, Any]:
        """How many lines came to what."""
        counts = self.counts
        found: dict[str, Any] = {"dry_run": self.dry_run}
        for kind, words in (("orders", ORDER_WORDS), ("refunds", REFUND_WORDS)):
            asked = ("readable",) if self.dry_run else words
            found[kind] = {word: counts[f"{kind}.{word}"] for word in asked}
        reasons = {name.partition(".")[2]: count for name, count in counts.items() if name.startswith("reason.")}
        return {
            **found,
            "conflicting": counts["conflicting"],
            "refused": counts["refused"],
            "blank": counts["blank"],
            "reasons": dict(sorted(reasons.items())),
        }


ORDER_WORDS = ("new", "added", "known")
"""An order nobody had reported; one more report of a known one; nothing that this file or an earlier one had not said."""
REFUND_WORDS = ("new", "waiting", "known")
"""waiting: new, and its order is not known yet."""


def _count(number: int, report: OrderReport, recorded: Recorded, counts: Counter[str]) -> list[JobLine]:
    """Counts what a line came to; the line to be kept, where somebody should look at it."""
    if report.stub:
        waiting = recorded.added and recorded.settled.decision is None
        counts["refunds.waiting" if waiting else "refunds.new" if recorded.added else "refunds.known"] += 1
    else:
        counts["orders.new" if recorded.created else "orders.added" if recorded.added else "orders.known"] += 1
    if not recorded.added or "conflicting_reports" not in recorded.settled.conversion["flags"]:
        return []
    counts["conflicting"] += 1
    detail = "recorded; another report of equal weight says something else of it, in this file or before"
    return [JobLine(number, "conflicting", "conflicting_reports", detail, {"order_id": report.refs[0]})]


def _refused(item: Item, counts: Counter[str]) -> JobLine:
    said = item.said
    assert isinstance(said, Refusal)
    counts["refused"] += 1
    counts[f"reason.{said.reason}"] += 1
    return JobLine(item.number, "refused", said.reason, said.detail, {"field": said.field, "order_id": said.order_id})


def _unrecordable(said: OrderReport | Refusal | None) -> Refusal:
    order_id = said.refs[0] if isinstance(said, OrderReport) else None
    return Refusal("cannot_be_recorded", "the database refuses this line; the log says why", None, order_id)
