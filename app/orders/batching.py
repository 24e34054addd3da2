"""Concurrent posts of one brand share one `record()` and one commit: one order alone costs about ten statements, a hundred together hardly more."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from app.database.errors import DATA_ERRORS
from app.database.transactions import in_transaction
from app.domain.orders import OrderReport, Receipt
from app.errors import Unavailable
from app.orders.record import Recorded, record

BATCH_MAX = 200
"""Reports of one transaction."""
WAITING_MAX = 2_000
"""Reports that may wait in one process, of all brands; more are answered 503 at once."""
BRANDS_AT_ONCE = 2
"""Transactions that run at once, each of another brand."""


@dataclass(frozen=True, slots=True)
class _Post:
    report: OrderReport
    receipt: Receipt
    answer: asyncio.Future[Recorded]


class Recorder:
    """Records single reports in the batches in which they happen to arrive: while one transaction runs, the next one's reports gather."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._waiting: dict[UUID, deque[_Post]] = {}
        self._count = 0
        self._slots = asyncio.Semaphore(BRANDS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    async def record(self, brand_id: UUID, report: OrderReport, receipt: Receipt) -> Recorded:
        """Records one report and answers after its commit.

        Raises what `record()` raises for this report alone, whatever the others were; Unavailable when too many wait.
        """
        if self._count >= WAITING_MAX:
            raise Unavailable("too many reports are waiting to be recorded", code="recorder_full")
        post = _Post(report, receipt, asyncio.get_running_loop().create_future())
        queue = self._waiting.get(brand_id)
        self._count += 1
        if queue is None:
            self._waiting[brand_id] = deque([post])
            task = asyncio.create_task(self._serve(brand_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            queue.append(post)
        return await post.answer

    async def _serve(self, brand_id: UUID) -> None:
        """Empties one brand's queue, batch after batch; ends when there is nothing left."""
        queue = self._waiting[brand_id]
        while queue:
            async with self._slots:
                batch = [queue.popleft() for _ in range(min(len(queue), BATCH_MAX))]
                self._count -= len(batch)
                await self._record_batch(brand_id, batch)
        # No await since the queue was seen empty, so nobody has put anything into it meanwhile.
        del self._waiting[brand_id]

    async def _record_batch(self, brand_id: UUID, batch: Sequence[_Post]) -> None:
        """Records a batch; one that fails is halved, so that one bad report fails alone."""
        reports = [(post.report, post.receipt) for post in batch]
        try:
            answers = await in_transaction(self._pool, lambda connection: record(connection, brand_id, reports))
        except (*DATA_ERRORS, AssertionError) as error:
            if len(batch) > 1:
                half = len(batch) // 2
                await self._record_batch(brand_id, batch[:half])
                await self._record_batch(brand_id, batch[half:])
            else:
                _fail(batch, error)
        except Exception as error:
            # Nothing about the reports: the database is away or busy. Halving would only ask it more often.
            _fail(batch, error)
        else:
            for post, answer in zip(batch, answers, strict=True):
                if not post.answer.done():
                    post.answer.set_result(answer)


def _fail(batch: Sequence[_Post], error: Exception) -> None:
    for post in batch:
        # Whoever asked may have hung up.
        if not post.answer.done():
            post.answer.set_exception(error)
