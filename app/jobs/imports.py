"""The job `import`: records every line of an uploaded file as an order or a refund, or keeps a line that says why not.

Lines are recorded in batches, each with its refused lines, the counts and the checkpoint in one transaction: a job that is taken over goes on after
the last batch. A line that the database refuses is found by halving its batch. A report that was imported before is recognized by its content (its
door is `import`), so the same file again adds nothing.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import asyncpg

from app.database.errors import is_about_data
from app.domain.csv_files import Refusal
from app.domain.customers import PURPOSE, customer_key
from app.domain.money import read_declared
from app.domain.order_file import read_line
from app.domain.orders import TRUST_SERVER, Context, OrderReport, Receipt
from app.jobs.files import in_batches, read_brand, read_lines, refused_line
from app.jobs.run import Interrupted, JobLine, Run
from app.orders.record import Recorded, record
from app.secret import derive

log = logging.getLogger("ariane.jobs")

BATCH_ROWS = 250
"""Lines recorded in one transaction, which keeps their orders locked."""

WORDS = {"orders": ("new", "added", "known"), "refunds": ("new", "waiting", "known")}
"""What is counted. added: one more report of a known order. known: nothing that was not reported before. waiting: new, its order is not known yet."""

Item = tuple[int, OrderReport | Refusal | None]
"""A line's number and what it reports, why it is refused, or None for one with nothing in it."""


async def run_import(run: Run) -> Mapping[str, Any]:
    """Records the file, or only reads it (`dry_run`); returns the number of lines by outcome."""
    brand = await read_brand(run)
    context = Context(
        # Everything counts as received when the job was made, so that a repetition dates the lines the same.
        received_at=run.created_at,
        currency=brand["currency"],
        customer_key=partial(customer_key, derive(run.secret, PURPOSE), run.brand_id),
        shop=run.arguments.get("shop") or "main",
        click_param=brand["click_param"],
        currencies=read_declared(brand["currencies"]),
    )
    importing = Import(run)
    run.result = importing.result
    read = partial(read_line, context=context, kind=run.arguments.get("kind"))
    async for batch in in_batches(read_lines(run, read, skip=run.done), BATCH_ROWS):
        await importing.take(batch)
    return importing.result()


class Import:
    """Records lines and counts their outcomes."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.receipt = Receipt(TRUST_SERVER, "import", "import", run.created_at)
        self.dry_run: bool = run.arguments["dry_run"]

    async def take(self, items: Sequence[Item]) -> None:
        """Records these lines; where the database refuses one of them, all others."""
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
                [(number, report)] = items
                log.error("line %d of job %s cannot be recorded", number, self.run.id, exc_info=error)
                order_id = report.refs[0] if isinstance(report, OrderReport) else None
                detail = "the database refuses this line; the log says why"
                await self._commit([(number, Refusal("cannot_be_recorded", detail, None, order_id))])

    async def _commit(self, items: Sequence[Item]) -> None:
        async def work(connection: asyncpg.Connection) -> Mapping[str, Any]:
            counts: Counter[str] = Counter(self.run.checkpoint.get("counts"))
            lines = [refused_line(number, each) for number, each in items if isinstance(each, Refusal)]
            counts["refused"] += len(lines)
            counts.update(f"reason.{line.reason}" for line in lines)
            reports = [(number, each) for number, each in items if isinstance(each, OrderReport)]
            counts["blank"] += len(items) - len(lines) - len(reports)
            if self.dry_run:
                counts.update("refunds.readable" if report.stub else "orders.readable" for _, report in reports)
            else:
                received = [(report, self.receipt) for _, report in reports]
                recorded = await record(connection, self.run.brand_id, received)
                for (number, report), each in zip(reports, recorded, strict=True):
                    lines += _count(number, report, each, counts)
            await self.run.add_lines(connection, lines)
            return {"counts": counts}

        await self.run.commit(work, done=self.run.done + len(items))

    def result(self) -> dict[str, Any]:
        """The number of lines by outcome, as last committed."""
        counts: Counter[str] = Counter(self.run.checkpoint.get("counts"))
        reasons = {name.partition(".")[2]: count for name, count in counts.items() if name.startswith("reason.")}
        return {
            "dry_run": self.dry_run,
            **{
                kind: {word: counts[f"{kind}.{word}"] for word in (("readable",) if self.dry_run else words)}
                for kind, words in WORDS.items()
            },
            **{name: counts[name] for name in ("conflicting", "refused", "blank")},
            "reasons": dict(sorted(reasons.items())),
        }


def _count(number: int, report: OrderReport, recorded: Recorded, counts: Counter[str]) -> list[JobLine]:
    """Counts the outcome of a line; returns the line of the job, where somebody should look at it."""
    if report.stub:
        waiting = recorded.added and recorded.state.decision is None
        counts["refunds.waiting" if waiting else "refunds.new" if recorded.added else "refunds.known"] += 1
    else:
        counts["orders.new" if recorded.created else "orders.added" if recorded.added else "orders.known"] += 1
    if not recorded.added or "conflicting_reports" not in recorded.state.conversion["flags"]:
        return []
    counts["conflicting"] += 1
    detail = "recorded; another report of equal weight says something else of it, in this file or before"
    return [JobLine(number, "conflicting", "conflicting_reports", detail, {"order_id": report.refs[0]})]
