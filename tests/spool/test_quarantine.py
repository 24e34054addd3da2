"""Goal: what was set aside can be put back, every line exactly once, wherever the process that does it is killed."""

import asyncio
import fcntl
import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app import clock, random_ids
from app.domain.ids import floor_at
from app.intake.drain import drain
from app.settings import Settings
from app.spool import quarantine as quarantine_module
from app.spool.quarantine import LOCK, held, put_back, quarantine
from app.spool.reader import claim
from app.spool.records import ClickLine, HookLine, Line, decode, encode
from app.spool.writer import QUARANTINE
from tests.cast import Brand
from tests.commands.commanding import command

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
UNREADABLE = b'["a kind of the next release",1]'


class Killed(BaseException):
    """The process ends here; nothing catches it, and nothing is cleaned up but what the kernel does."""


def click() -> bytes:
    return encode(
        ClickLine(str(random_ids.new_id()), str(random_ids.new_id()), str(random_ids.new_id()), None, "", "", "", "")
    )


def hook(brand_id: Any = None, body: bytes = b"{}") -> bytes:
    line = HookLine(
        str(random_ids.new_id()),
        str(brand_id or random_ids.new_id()),
        str(random_ids.new_id()),
        "generic",
        "main",
        True,
        "",
        {},
        "",
        body,
    )
    return encode(line)


def spooled(directory: Path) -> list[bytes]:
    """Every line of the spool, which is taken out."""
    found = []
    for kind in ("orders", "clicks"):
        for segment in claim(directory, kind, bytes_max=1 << 30):  # type: ignore[arg-type]
            found += segment.lines()
            segment.discard()
    return found


def test_lines_go_back_to_where_they_belong_and_what_cannot_be_read_stays(tmp_path: Path) -> None:
    order, redirect = hook(), click()
    quarantine(tmp_path, [(order, "refused for a reason"), (UNREADABLE, "unreadable: …")])
    quarantine(tmp_path, [(redirect, "no month"), (order, "the same, after a crash")])
    lines, segments = held(tmp_path)
    assert {(each.line, each.kind) for each in lines} == {(order, "orders"), (redirect, "clicks"), (UNREADABLE, None)}
    assert segments == []
    done = put_back(tmp_path, oldest=LONG_AGO)
    assert sorted(path.name.partition("-")[0] for path in done.segments) == ["clicks", "orders"]
    assert [each.line for each in done.refused] == [UNREADABLE]
    [kept], _ = held(tmp_path)
    assert (kept.line, kept.reason) == (UNREADABLE, "unreadable: …")
    assert kept.unreadable
    [orders] = claim(tmp_path, "orders", bytes_max=1 << 20)
    assert orders.lines() == [order]
    orders.discard()
    assert spooled(tmp_path) == [redirect]
    assert put_back(tmp_path, oldest=LONG_AGO).segments == ()
    assert spooled(tmp_path) == []


def test_nothing_in_quarantine_is_nothing_to_do(tmp_path: Path) -> None:
    assert held(tmp_path) == ([], [])
    assert put_back(tmp_path, oldest=LONG_AGO) == put_back(tmp_path / "nowhere", oldest=LONG_AGO)


def test_killed_anywhere_every_line_is_put_back_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before the first, the second, … the last change of a file; then tried again, and drained in between."""
    for step in range(60):
        directory = tmp_path / str(step)
        directory.mkdir()
        lines = [hook(), hook(), click()]
        quarantine(directory, [(lines[0], "x"), (UNREADABLE, "y")])
        quarantine(directory, [(line, "z") for line in lines[1:]])
        finished = _put_back_until(step, directory, monkeypatch)
        lines.append(hook())
        quarantine(directory, [(lines[-1], "refused before anybody tried again")])
        seen = spooled(directory)  # the drain does not wait for us
        put_back(directory, oldest=LONG_AGO)
        seen += spooled(directory)
        assert Counter(seen) == Counter(lines), step
        assert [each.line for each in held(directory)[0]] == [UNREADABLE], step
        assert not list((directory / QUARANTINE).glob("retry-*"))
        if finished:
            assert step > 10
            return
    raise AssertionError("it never came to an end")


def _put_back_until(step: int, directory: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether it came to its end before it was killed at this step."""
    steps = 0

    def counted(whole: Any) -> Any:
        def act(*arguments: Any, **named: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps > step:
                raise Killed
            return whole(*arguments, **named)

        return act

    with monkeypatch.context() as patched:
        for name in ("mkdir", "rename", "rmdir", "unlink"):
            patched.setattr(Path, name, counted(getattr(Path, name)))
        patched.setattr("app.spool.quarantine._write", counted(quarantine_module._write))
        patched.setattr("app.spool.quarantine.sync_directory", counted(lambda _: None))
        try:
            put_back(directory, oldest=LONG_AGO)
        except Killed:
            return False
    return True


def test_a_torn_row_is_shown_and_spoils_no_other(tmp_path: Path) -> None:
    order = hook()
    place = tmp_path / QUARANTINE
    place.mkdir()
    (place / f"lines-{clock.now():%Y-%m-%d}.jsonl").write_bytes(b'{"reason":"half a r')
    quarantine(tmp_path, [(order, "refused")])
    lines, _ = held(tmp_path)
    assert [each.kind for each in lines] == [None, "orders"]
    assert "damaged" in lines[0].reason
    put_back(tmp_path, oldest=LONG_AGO)
    assert spooled(tmp_path) == [order]
    assert len(held(tmp_path)[0]) == 1


def test_a_segment_that_was_too_old_goes_back_only_when_it_is_young_enough_again(tmp_path: Path) -> None:
    began = clock.now() - timedelta(days=500)
    old = f"clicks-{floor_at(began)}.seg"
    place = tmp_path / QUARANTINE
    place.mkdir()
    line = click()
    (place / old).write_bytes(line + b"\n")
    [segment] = held(tmp_path)[1]
    assert abs(segment.began_at - began) < timedelta(milliseconds=2)
    assert put_back(tmp_path, oldest=clock.now() - timedelta(days=400)).segments == ()
    assert put_back(tmp_path, oldest=clock.now() - timedelta(days=600)).segments == (tmp_path / old,)
    assert spooled(tmp_path) == [line]


async def test_what_the_drain_refuses_again_comes_back_with_its_new_reason(tmp_path: Path) -> None:
    good, bad = hook(), hook(body=b"poison")
    quarantine(tmp_path, [(good, "the old reason"), (bad, "the old reason")])
    put_back(tmp_path, oldest=LONG_AGO)

    async def record(lines: Any) -> None:
        each: Line
        for each in lines:
            if isinstance(each, HookLine) and each.body == b"poison":
                raise ValueError("the new reason")

    assert await drain(tmp_path, "orders", record) == 2
    [still] = held(tmp_path)[0]
    assert (still.line, still.reason, decode(still.line)) == (bad, "ValueError: the new reason", decode(bad))


# ── The command ──────────────────────────────────────────────────────────────────────────────────────────────────────


def run(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return command("quarantine", *arguments, "--data", str(data))


def test_the_command_lists_puts_back_and_says_what_is_still_refused(tmp_path: Path) -> None:
    assert run(tmp_path, "list").stdout == "nothing is in quarantine\n"
    spool = tmp_path / "spool"
    spool.mkdir()
    order = hook()
    quarantine(spool, [(order, "\x1b[31mDataError"), (UNREADABLE, "unreadable: kind")])
    listed = run(tmp_path, "list").stdout
    assert decode(order).id in listed
    assert "\x1b" not in listed
    assert {row["line"] for row in json.loads(run(tmp_path, "list", "--json").stdout)} == {
        order.decode(),
        UNREADABLE.decode(),
    }
    done = run(tmp_path, "retry", "--wait", "0")
    assert done.returncode == 3
    assert "1 lines were put back into the spool, in 1 segments" in done.stdout
    assert "as soon as the background process runs" in done.stdout
    assert "still refused: 1" in done.stdout
    assert spooled(spool) == [order]
    again = json.loads(run(tmp_path, "retry", "--json").stdout)
    assert (again["put_back"], again["drained"], len(again["refused"])) == (0, True, 1)


def test_a_quarantine_that_cannot_be_read_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / QUARANTINE).write_text("a file in its place")
    for name in ("list", "retry"):
        refused = run(tmp_path, name)
        assert refused.returncode == 1
        assert refused.stderr.startswith("ariane: ")
        assert refused.stderr.count("\n") == 1


async def test_a_put_back_delivery_is_recorded_once_by_the_worker(
    tmp_path: Path, pool: asyncpg.Pool, settings: Settings, alice: Brand
) -> None:
    """The same line twice in quarantine, put back twice: one delivery."""
    from app.intake.deliveries.recording import record_deliveries
    from app.secret import load_secret

    line = hook(alice.id, b"{")
    for _ in range(2):
        quarantine(tmp_path, [(line, "the database was ill")])
        put_back(tmp_path, oldest=LONG_AGO)

        async def record(lines: Any) -> None:
            await record_deliveries(pool, lines, secret=load_secret(settings), settings=settings)

        assert await drain(tmp_path, "orders", record) == 1
    rows = await pool.fetch("SELECT status FROM delivery WHERE brand_id = $1", alice.id)
    assert [row["status"] for row in rows] == ["rejected"]


async def test_a_retry_that_takes_long_holds_up_only_the_batch_that_has_something_to_set_aside(tmp_path: Path) -> None:
    """`ariane quarantine retry` holds the lock while it writes; the background process goes on meanwhile, and ends what waited afterwards."""
    (tmp_path / QUARANTINE).mkdir()
    (tmp_path / f"orders-{random_ids.new_id()}.seg").write_bytes(hook() + b"\n" + UNREADABLE + b"\n")
    (tmp_path / f"clicks-{random_ids.new_id()}.seg").write_bytes(click() + b"\n")
    recorded = asyncio.Event()

    async def record(lines: Sequence[Line]) -> None:
        assert lines
        recorded.set()

    with (tmp_path / QUARANTINE / LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        waiting = asyncio.create_task(drain(tmp_path, "orders", record))
        try:
            async with asyncio.timeout(5):
                await recorded.wait()
                assert await drain(tmp_path, "clicks", record) == 1
            await asyncio.sleep(0.2)
            assert not waiting.done()
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)
    assert await waiting == 2
    assert [each.line for each in held(tmp_path)[0]] == [UNREADABLE]
    assert claim(tmp_path, "orders", bytes_max=1 << 20) == []
