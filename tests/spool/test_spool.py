"""The spool: what was appended is there for a reader exactly once, whoever dies and however full the disk is."""

import asyncio
import errno
import fcntl
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from app import clock, random_ids
from app.domain.ids import floor_at, floor_ms
from app.spool import recycling
from app.spool.quarantine import quarantine
from app.spool.reader import Claimed, claim, oldest_waiting, sweep
from app.spool.records import ClickLine, HookLine, MissLine, PixelLine, decode, encode
from app.spool.recycling import FILES_MAX
from app.spool.writer import PREALLOCATED_MIN_BYTES, QUARANTINE, SUFFIX, Kind, Spool, SpoolFull, measure

LINE = b"x" * 99


def read_all(directory: Path, kind: Kind = "clicks") -> list[bytes]:
    """Drains what can be claimed."""
    lines: list[bytes] = []
    for segment in claim(directory, kind, bytes_max=1 << 30):
        lines += segment.lines()
        segment.discard()
    return lines


def segment_names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob(f"*{SUFFIX}"))


def append_until_full(spool: Spool) -> int:
    """How many lines of 100 bytes it took before it refused one."""
    for n in range(10_000):
        try:
            spool.append((b"%d" % n).ljust(99))
        except SpoolFull:
            return n
    raise AssertionError("it never refused")


async def eventually(condition: Callable[[], object], timeout_s: float = 5) -> None:
    deadline = clock.monotonic_s() + timeout_s
    while not condition():
        assert clock.monotonic_s() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def first_claim(directory: Path) -> Claimed:
    """The oldest segment, as soon as its writer has flushed it and let go."""
    found: list[Claimed] = []
    await eventually(lambda: found.extend(claim(directory, "clicks", bytes_max=1)) or found)
    return found[0]


@pytest.mark.parametrize(
    "line",
    [
        ClickLine("id", "brand", "link", None, "", "new\nline \u2028 \x00 \ud7ff", "", "head"),
        MissLine("id", None, "host", "slug", "expired"),
        PixelLine("id", None, None, "main", "pixel", "", b"\x00\xff\n"),
        HookLine("id", "brand", "source", "generic", "main", True, "", {"a": "b\n"}, "q=1", b"\n\n{}"),
    ],
)
def test_a_line_comes_back_as_it_was_and_stays_one_line(line: ClickLine | MissLine | PixelLine | HookLine) -> None:
    written = encode(line)
    assert decode(written) == line
    assert b"\n" not in written


async def test_lines_come_back_whole_and_in_order_once_their_writer_has_gone(tmp_path: Path) -> None:
    spool = Spool(tmp_path, kind="clicks")
    lines = [b"%d" % n for n in range(1_000)]
    for line in lines:
        spool.append(line)
    assert read_all(tmp_path) == []
    await spool.close()
    assert read_all(tmp_path) == lines
    assert segment_names(tmp_path) == []


async def test_a_segment_is_handed_over_soon_but_only_one_at_a_time(tmp_path: Path) -> None:
    spool = Spool(tmp_path, kind="clicks", sync_ms=10)
    spool.append(b"first")
    await eventually(lambda: len(segment_names(tmp_path)) == 2)
    held = await first_claim(tmp_path)
    spool.append(b"second")
    # An outage: nobody takes the first one away, so the second is not closed however long it takes.
    await asyncio.sleep(0.5)
    assert len(segment_names(tmp_path)) == 2
    assert claim(tmp_path, "clicks", bytes_max=1) == []
    held.discard()
    await eventually(lambda: read_all(tmp_path) == [b"second"])
    await eventually(lambda: len(segment_names(tmp_path)) == 1)
    await spool.close()
    assert segment_names(tmp_path) == []


async def test_an_idle_spool_does_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, kind="clicks", sync_ms=10)
    spool.append(b"only")
    await eventually(lambda: read_all(tmp_path) == [b"only"])
    [name] = segment_names(tmp_path)
    running = {task for task in asyncio.all_tasks() if "Spool" in repr(task)}
    await eventually(lambda: all(task.done() for task in running))
    assert segment_names(tmp_path) == [name]
    await spool.close()


async def test_during_an_outage_segments_close_by_size(tmp_path: Path) -> None:
    spool = Spool(tmp_path, kind="clicks", segment_bytes=10_000)
    for _ in range(1_000):
        spool.append(LINE)
    await spool.synced()
    sizes = [(tmp_path / name).stat().st_size for name in segment_names(tmp_path)]
    assert sizes == [10_000] * 10
    assert len(read_all(tmp_path)) == 900
    await spool.close()
    assert len(read_all(tmp_path)) == 100


async def test_two_writers_and_two_readers_never_meet(tmp_path: Path) -> None:
    writers = [Spool(tmp_path, kind="clicks", segment_bytes=1_000) for _ in range(2)]
    taken: list[bytes] = []
    for n in range(200):
        writers[n % 2].append(b"%d" % n)
        if n % 20 == 0:
            first, second = (claim(tmp_path, "clicks", bytes_max=1_500) for _ in range(2))
            assert not {each.path for each in first} & {each.path for each in second}
            for segment in (*first, *second):
                taken += segment.lines()
                segment.discard()
            await asyncio.sleep(0)
    for writer in writers:
        await writer.close()
    taken += read_all(tmp_path)
    assert sorted(taken, key=int) == [b"%d" % n for n in range(200)]


async def test_a_reader_that_gives_a_segment_back_leaves_it_for_the_next(tmp_path: Path) -> None:
    spool = Spool(tmp_path, kind="clicks")
    spool.append(b"line")
    await spool.close()
    [segment] = claim(tmp_path, "clicks", bytes_max=1)
    segment.release()
    segment.release()
    assert read_all(tmp_path) == [b"line"]


async def test_a_segment_unlinked_while_a_reader_waits_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, kind="clicks")
    spool.append(b"line")
    await spool.close()
    real_open = os.open

    def open_then_lose(path: Path, flags: int) -> int:
        descriptor = real_open(path, flags)
        os.unlink(path)  # another reader drained it between our open and our lock
        return descriptor

    monkeypatch.setattr(os, "open", open_then_lose)
    assert claim(tmp_path, "clicks", bytes_max=1) == []


async def test_orders_and_clicks_are_kept_apart(tmp_path: Path) -> None:
    spools = {kind: Spool(tmp_path, kind=kind) for kind in ("clicks", "orders")}
    for kind, spool in spools.items():
        spool.append(kind.encode())
        await spool.close()
    assert read_all(tmp_path, "orders") == [b"orders"]
    assert read_all(tmp_path, "clicks") == [b"clicks"]


async def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / f"clicks-{random_ids.new_id()}{SUFFIX}"
    path.write_bytes(b"whole\n\nwhole too\nto")
    assert read_all(tmp_path) == [b"whole", b"whole too"]
    path.write_bytes(b"torn from the start")
    assert read_all(tmp_path) == []
    assert not path.exists()


# ── The disk ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_short_write_is_taken_back_and_means_full(tmp_path: Path) -> None:
    """The kernel really writes a part: the file may not grow past a limit (RLIMIT_FSIZE)."""
    spool = Spool(tmp_path, kind="clicks")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    spool.append(LINE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, before[1]))
    try:
        with pytest.raises(SpoolFull, match="short write"):
            spool.append(LINE)
        spool.append(b"y" * 40)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    spool.append(b"after")
    assert spool.writable
    await spool.close()
    assert read_all(tmp_path) == [LINE, b"y" * 40, b"after"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk; the short write is tested for everybody")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@pytest.mark.parametrize("kind", ["clicks", "orders"])
async def test_a_full_disk_refuses_and_recovers_without_losing_a_line(small_disk: Path, kind: Kind) -> None:
    spool = Spool(small_disk, kind=kind, segment_bytes=50_000)
    accepted = append_until_full(spool)
    assert accepted > 2_000
    await asyncio.sleep(0.25)
    assert not spool.writable
    await spool.synced()
    drained = read_all(small_disk, kind)
    await asyncio.sleep(0.25)
    assert spool.writable
    spool.append(b"after")
    await spool.close()
    drained += read_all(small_disk, kind)
    assert [line.strip() for line in drained] == [b"%d" % n for n in range(accepted)] + [b"after"]


async def test_clicks_stop_at_80_percent_of_the_cap_and_orders_go_on(tmp_path: Path) -> None:
    clicks = Spool(tmp_path, kind="clicks", cap_bytes=100_000, segment_bytes=1_000)
    orders = Spool(tmp_path, kind="orders", cap_bytes=100_000, segment_bytes=1_000)
    assert append_until_full(clicks) == 800
    with pytest.raises(SpoolFull, match="wait to be drained"):
        clicks.append(LINE)
    assert not clicks.writable
    for _ in range(150):
        orders.append(LINE)
    assert orders.writable
    await clicks.synced()
    read_all(tmp_path)
    # The directory is measured again once a second.
    await eventually(lambda: clicks.writable)
    clicks.append(LINE)
    await clicks.close()
    await orders.close()


async def test_a_directory_that_cannot_be_written_shows_and_heals(tmp_path: Path) -> None:
    blocked = tmp_path / "spool"
    blocked.write_text("a file where the directory should be")
    spool = Spool(blocked, kind="orders")
    assert not spool.writable
    with pytest.raises(SpoolFull):
        spool.append(b"lost")
    blocked.unlink()
    await eventually(lambda: spool.writable)
    spool.append(b"kept")
    await spool.close()
    assert read_all(blocked, "orders") == [b"kept"]


# ── Flushing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inodes given to fdatasync, which takes 20 ms here; the real call is made."""
    inodes: list[int] = []
    real = os.fdatasync

    def slow(descriptor: int) -> None:
        time.sleep(0.02)
        inodes.append(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    return inodes


async def test_everybody_who_waits_shares_one_flush(tmp_path: Path, flushed: list[int]) -> None:
    spool = Spool(tmp_path, kind="clicks", sync_ms=10_000)

    async def report(n: int) -> None:
        spool.append(b"%d" % n)
        await spool.synced()

    await asyncio.gather(*(report(n) for n in range(100)))
    assert len(flushed) == 1
    await spool.synced()
    assert len(flushed) == 1
    await spool.close()


async def test_a_wait_that_is_cancelled_cancels_nobody_elses(tmp_path: Path, flushed: list[int]) -> None:
    spool = Spool(tmp_path, kind="orders", sync_ms=10_000)
    spool.append(b"one")
    first, second = asyncio.create_task(spool.synced()), asyncio.create_task(spool.synced())
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert first.cancelled()
    await spool.close()


async def test_what_was_appended_during_a_flush_waits_for_the_next(tmp_path: Path, flushed: list[int]) -> None:
    spool = Spool(tmp_path, kind="clicks", sync_ms=10_000)
    spool.append(b"one")
    first = asyncio.create_task(spool.synced())
    await asyncio.sleep(0.005)
    spool.append(b"two")
    await spool.synced()
    assert first.done()
    assert len(flushed) == 2
    await spool.close()


async def test_a_segment_closed_by_size_is_flushed_before_it_is_handed_over(tmp_path: Path, flushed: list[int]) -> None:
    spool = Spool(tmp_path, kind="clicks", segment_bytes=100, sync_ms=10_000)
    for _ in range(3):
        spool.append(LINE)
    inodes = {(tmp_path / name).stat().st_ino for name in segment_names(tmp_path)}
    assert len(inodes) == 3
    assert read_all(tmp_path) == []
    await spool.synced()
    assert set(flushed) == inodes
    assert len(read_all(tmp_path)) == 2
    await spool.close()


async def test_a_disk_that_cannot_flush_is_told_to_who_waits_and_never_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, kind="orders", sync_ms=10_000)
    spool.append(b"one")

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(SpoolFull, match="Input/output error"):
        await spool.synced()
    monkeypatch.undo()
    spool.append(b"two")
    await spool.synced()
    assert read_all(tmp_path, "orders") == [b"one"]
    await spool.close()
    assert read_all(tmp_path, "orders") == [b"two"]


async def test_without_anybody_waiting_clicks_are_flushed_by_themselves(tmp_path: Path, flushed: list[int]) -> None:
    spool = Spool(tmp_path, kind="clicks", sync_ms=10)
    spool.append(LINE)
    await eventually(lambda: flushed)
    await spool.close()


# ── Preallocation ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def preallocated(directory: Path) -> tuple[Spool, Path]:
    """A writer of orders that has come to write over NULs, and the segment it does that in. Some lines `begun` are written by then."""
    spool = Spool(directory, kind="orders", sync_ms=10)
    found: list[Path] = []

    def begun() -> bool:
        spool.append(b"begun")
        found[:] = [path for path in directory.glob(f"*{SUFFIX}") if over_nuls(path.read_bytes())]
        return bool(found)

    await eventually(begun)
    return spool, found[0]


def over_nuls(content: bytes) -> bool:
    return content.startswith(b"begun") and content.endswith(b"\0")


def after_that(lines: list[bytes]) -> list[bytes]:
    return [line for line in lines if line != b"begun"]


async def test_what_somebody_waits_for_is_written_where_the_file_need_not_grow(tmp_path: Path) -> None:
    spool, path = await preallocated(tmp_path)
    before = path.stat()
    lines = [b"%d" % n for n in range(1_000)]
    for line in lines:
        spool.append(line)
    assert (path.stat().st_size, path.stat().st_blocks) == (before.st_size, before.st_blocks)
    assert lines[-1] + b"\n\0" in path.read_bytes()
    await spool.synced()
    await spool.close()
    assert after_that(read_all(tmp_path, "orders")) == lines
    assert segment_names(tmp_path) == []


async def test_a_line_longer_than_the_preallocation_goes_past_it_and_the_next_begins_another(tmp_path: Path) -> None:
    spool, path = await preallocated(tmp_path)
    long = b"x" * (PREALLOCATED_MIN_BYTES * 3)
    spool.append(long)
    assert path.stat().st_size > len(long)
    await eventually(lambda: len(segment_names(tmp_path)) > 1)
    spool.append(b"next")
    await spool.synced()
    await spool.close()
    assert sorted(after_that(read_all(tmp_path, "orders"))) == [b"next", long]


def test_preallocated_bytes_are_no_lines_that_wait(tmp_path: Path) -> None:
    path = tmp_path / f"orders-{random_ids.new_id()}{SUFFIX}"
    path.write_bytes(b"\0" * PREALLOCATED_MIN_BYTES)
    assert oldest_waiting(tmp_path) is None
    assert read_all(tmp_path, "orders") == []
    assert not path.exists()


async def test_clicks_that_nobody_waits_for_are_not_preallocated(tmp_path: Path) -> None:
    clicks = Spool(tmp_path, kind="clicks", sync_ms=10)
    clicks.append(LINE)
    await asyncio.sleep(0.05)
    [name] = segment_names(tmp_path)
    assert (tmp_path / name).read_bytes() == LINE + b"\n"
    await clicks.close()


async def test_a_preallocation_that_fails_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite

    def full(descriptor: int, content: bytes, offset: int) -> int:
        if not content.strip(b"\0"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, content, offset)

    monkeypatch.setattr(os, "pwrite", full)
    spool = Spool(tmp_path, kind="orders", sync_ms=10)
    spool.append(b"one")
    await asyncio.sleep(0.05)
    spool.append(b"two")
    await spool.synced()
    assert len(segment_names(tmp_path)) == 1
    await spool.close()
    assert read_all(tmp_path, "orders") == [b"one", b"two"]


async def test_a_full_cap_leaves_no_room_for_preallocation(tmp_path: Path) -> None:
    spool = Spool(tmp_path, kind="orders", sync_ms=10, cap_bytes=PREALLOCATED_MIN_BYTES * 10)
    spool.append(b"one")
    await asyncio.sleep(0.05)
    assert len(segment_names(tmp_path)) == 1
    await spool.close()


# ── Written again ────────────────────────────────────────────────────────────────────────────────────────────────────


def files(directory: Path) -> dict[int, str]:
    """By inode: what stays the same when a file is renamed, which a writer may be doing."""
    with os.scandir(directory) as entries:
        return {entry.inode(): entry.name for entry in entries}


async def test_a_drained_segment_is_written_again_and_its_old_lines_never_come_back(tmp_path: Path) -> None:
    spool, _ = await preallocated(tmp_path)
    seen: set[int] = set()
    written, drained = [], []
    for n in range(400):
        written.append(b"%d" % n + b"." * (n * 997 % 2_000))
        spool.append(written[-1])
        await spool.synced()
        if n % 10 == 9:
            await asyncio.sleep(0.02)
            drained += read_all(tmp_path, "orders")
        seen |= files(tmp_path).keys()
        if n == 40:
            seen = set(files(tmp_path))
    await spool.close()
    drained += read_all(tmp_path, "orders")
    assert after_that(drained) == written
    assert len(seen) <= 2 + FILES_MAX, "hardly a file was made after the first ones"
    assert not any(name.endswith(SUFFIX) for name in files(tmp_path).values())


def write_recycled(directory: Path, content: bytes, kind: Kind = "orders") -> Path:
    path = directory / f".{kind}-{random_ids.new_id()}{recycling.SUFFIX}"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "size_bytes", [1_000, PREALLOCATED_MIN_BYTES, PREALLOCATED_MIN_BYTES + 1_000, PREALLOCATED_MIN_BYTES * 9]
)
async def test_a_recycled_segment_of_any_size_is_overwritten_without_a_trace_of_its_lines(
    tmp_path: Path, size_bytes: int
) -> None:
    recycled = write_recycled(tmp_path, b"old\n" * (size_bytes // 4))
    inode = recycled.stat().st_ino
    spool, path = await preallocated(tmp_path)
    assert path.stat().st_ino == inode
    assert PREALLOCATED_MIN_BYTES <= path.stat().st_size <= PREALLOCATED_MIN_BYTES * 2
    assert b"old" not in path.read_bytes()
    await spool.close()
    assert set(read_all(tmp_path, "orders")) == {b"begun"}


async def test_a_recycled_segment_that_somebody_holds_is_left_to_them(tmp_path: Path) -> None:
    recycled = write_recycled(tmp_path, b"\0" * PREALLOCATED_MIN_BYTES)
    with recycled.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        spool, path = await preallocated(tmp_path)
        assert path.stat().st_ino != recycled.stat().st_ino
        await spool.close()


async def test_only_so_many_drained_segments_are_recycled_and_of_clicks_none(tmp_path: Path) -> None:
    for _ in range(FILES_MAX + 3):
        (tmp_path / f"orders-{random_ids.new_id()}{SUFFIX}").write_bytes(b"line\n\0")
        (tmp_path / f"clicks-{random_ids.new_id()}{SUFFIX}").write_bytes(b"line\n")
    assert read_all(tmp_path, "orders") == read_all(tmp_path, "clicks") == [b"line"] * (FILES_MAX + 3)
    names = list(files(tmp_path).values())
    assert len(names) == FILES_MAX
    assert all(name.startswith(".orders-") and name.endswith(recycling.SUFFIX) for name in names)
    assert measure(tmp_path) == (0, 0)


def test_what_people_ordered_does_not_stay_in_a_recycled_segment_that_nobody_needs(tmp_path: Path) -> None:
    old, new = (write_recycled(tmp_path, b"what somebody ordered\n") for _ in range(2))
    minutes_ago = time.time() - 120
    os.utime(old, (minutes_ago, minutes_ago))
    sweep(tmp_path)
    assert not old.exists()
    assert new.exists()


async def test_a_segment_recycled_while_a_reader_waits_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"orders-{random_ids.new_id()}{SUFFIX}"
    path.write_bytes(b"line\n\0")
    real_open = os.open

    def open_then_lose(path: Path, flags: int) -> int:
        descriptor = real_open(path, flags)
        recycling.recycle(path)
        return descriptor

    monkeypatch.setattr(os, "open", open_then_lose)
    assert claim(tmp_path, "orders", bytes_max=1) == []


async def test_a_full_disk_gets_the_room_of_recycled_segments(small_disk: Path) -> None:
    for _ in range(3):
        write_recycled(small_disk, b"\0" * PREALLOCATED_MIN_BYTES)
    clicks = Spool(small_disk, kind="clicks", segment_bytes=50_000)
    append_until_full(clicks)
    await asyncio.sleep(0.25)
    assert clicks.writable
    assert append_until_full(clicks) > 1_500
    await clicks.close()


# ── Deaths ───────────────────────────────────────────────────────────────────────────────────────────────────────────

WRITER = """
import asyncio, sys
from pathlib import Path
from app.spool.writer import Spool

async def write() -> None:
    spool = Spool(Path(sys.argv[1]), kind=sys.argv[3], sync_ms=10, segment_bytes=5_000 if sys.argv[3] == "clicks" else 200_000)
    n = 0
    while True:
        for _ in range(50):
            spool.append(b"%s %d" % (sys.argv[2].encode(), n))
            n += 1
        print(n, flush=True)
        await asyncio.sleep(0 if sys.argv[3] == "clicks" else 0.002)

asyncio.run(write())
"""


@pytest.mark.parametrize("kind", ["clicks", "orders"])
def test_what_killed_writers_acknowledged_is_adopted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    acknowledged: dict[bytes, int] = {}
    taken: list[bytes] = []
    for generation in range(3):
        name = f"w{generation}"
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name, kind], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        for _ in range(40):
            acknowledged[name.encode()] = int(writer.stdout.readline())
            taken += read_all(tmp_path, kind)
        writer.kill()
        for line in writer.stdout:
            acknowledged[name.encode()] = int(line)
        writer.wait()
        writer.stdout.close()
    taken += read_all(tmp_path, kind)
    for name, count in acknowledged.items():
        numbers = [int(line.split()[1]) for line in taken if line.startswith(name + b" ")]
        assert sorted(numbers) == list(range(len(numbers)))
        assert len(numbers) >= count
    # One killed before its segment had a name leaves an empty hidden file behind, which housekeeping sweeps away.
    monkeypatch.setattr("app.spool.reader.ABANDONED_AFTER_S", 0)
    sweep(tmp_path)
    assert segment_names(tmp_path) == []


async def test_a_child_process_does_not_keep_a_segment(tmp_path: Path) -> None:
    spool = Spool(tmp_path, kind="clicks")
    spool.append(b"line")
    child = await asyncio.create_subprocess_exec("sleep", "60", close_fds=False)
    try:
        await spool.close()
        assert read_all(tmp_path) == [b"line"]
    finally:
        child.kill()
        await child.wait()


async def test_hidden_segments_of_the_dead_are_swept_and_new_ones_left(tmp_path: Path) -> None:
    hour_ago = floor_ms(clock.now_ms() - 3_600_000)
    old, new = (tmp_path / f".clicks-{id_}{SUFFIX}" for id_ in (hour_ago, random_ids.new_id()))
    old.touch()
    new.touch()
    sweep(tmp_path)
    assert not old.exists()
    assert new.exists()
    assert read_all(tmp_path) == []


async def test_the_oldest_waiting_line_is_found_whoever_holds_it(tmp_path: Path) -> None:
    assert oldest_waiting(tmp_path) is None
    spool = Spool(tmp_path, kind="orders")
    assert oldest_waiting(tmp_path) is None
    at = clock.now() - timedelta(minutes=5)
    id_ = floor_at(at)
    spool.append(encode(MissLine(str(id_), None, "h", "s", "expired")))
    spool.append(encode(MissLine(str(random_ids.new_id()), None, "h", "s", "expired")))
    found = oldest_waiting(tmp_path)
    assert found is not None
    assert abs(found - at) < timedelta(milliseconds=2)
    await spool.close()


def test_quarantined_lines_keep_their_words_and_their_reason(tmp_path: Path) -> None:
    quarantine(tmp_path, [(b'["click"\xff', "unreadable")])
    quarantine(tmp_path, [(b"other", "refused")])
    [path] = (tmp_path / QUARANTINE).glob("*.jsonl")
    assert path.read_text().splitlines() == [
        '{"reason":"unreadable","line":"[\\"click\\"\\\\xff"}',
        '{"reason":"refused","line":"other"}',
    ]
