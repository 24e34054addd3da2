"""What stands in the spool and is no segment that can be read: put aside and named, and it holds up nothing."""

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path

import pytest

from app import clock, random_ids
from app.domain.ids import floor_at
from app.intake.drain import drain
from app.spool.quarantine import held, put_back
from app.spool.reader import KINDS, STALLED_AFTER_S, claim, oldest_waiting, stalled, sweep
from app.spool.records import Line, MissLine, encode
from app.spool.writer import QUARANTINE, Spool, measure


def _miss(at: object = None) -> MissLine:
    new = random_ids.new_id() if at is None else floor_at(at)  # type: ignore[arg-type]
    return MissLine(str(new), None, "*", "lea", "unknown_slug")


def _write(path: Path, *lines: MissLine) -> None:
    path.write_bytes(b"".join(encode(line) + b"\n" for line in lines))


def _directory(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_text("somebody's")


def _broken_link(path: Path) -> None:
    path.symlink_to("nowhere")


def _link(path: Path) -> None:
    real = path.with_name("elsewhere")
    real.write_text("not ours")
    path.symlink_to(real)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _forbidden(path: Path) -> None:
    _write(path, _miss())
    path.chmod(0)


@contextmanager
def nobody(directory: Path) -> Iterator[None]:
    """As a user to whom permissions apply, and who may enter and write the directory."""
    if os.geteuid() != 0:
        yield
        return
    for parent in directory.parents:
        if parent == Path(tempfile.gettempdir()):
            break
        parent.chmod(0o755)
    os.chown(directory, 65_534, 65_534)
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_what_cannot_even_be_moved_is_named_once_and_the_drain_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stuck = f"clicks-{floor_at(clock.now() - timedelta(hours=1))}.seg"
    _directory(tmp_path / stuck)
    # A file in the way of the quarantine's directory.
    (tmp_path / QUARANTINE).write_text("")

    async def record(lines: object) -> None:
        return None

    for _ in range(2):
        _write(tmp_path / f"clicks-{random_ids.new_id()}.seg", _miss())
        assert await drain(tmp_path, "clicks", record) == 1
    assert caplog.text.count(stuck) == 1


def names(directory: Path) -> list[str]:
    return os.listdir(directory)


@pytest.mark.parametrize("make", [_directory, _broken_link, _link, _pipe, _forbidden])
async def test_what_cannot_be_read_is_put_aside_and_named_and_the_drain_goes_on(
    make: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Permissions do not apply to root, which would read the file and could move the directory.
    as_who = nobody if make is _forbidden else nullcontext
    strange = tmp_path / f"clicks-{floor_at(clock.now() - timedelta(hours=1))}.seg"
    make(strange)
    good = _miss()
    _write(tmp_path / f"clicks-{random_ids.new_id()}.seg", good)
    recorded: list[Line] = []

    async def record(lines: object) -> None:
        recorded.extend(lines)  # type: ignore[arg-type]

    with as_who(tmp_path):
        measure(tmp_path)
        waiting = oldest_waiting(tmp_path)
        assert waiting is not None
        assert clock.now() - waiting < timedelta(minutes=1)
        assert await drain(tmp_path, "clicks", record, retention=timedelta(days=400)) == 1
    assert recorded == [good]
    assert not any(name.startswith("clicks-") for name in names(tmp_path))
    assert strange.name in caplog.text
    assert "put aside" in caplog.text
    assert strange.name in names(tmp_path / QUARANTINE)
    with as_who(tmp_path / QUARANTINE):
        _, (segment,) = held(tmp_path)
        assert segment.fault
        assert put_back(tmp_path, oldest=clock.now() - timedelta(days=1)).segments == ()
    sweep(tmp_path)


async def test_a_segment_that_was_mended_goes_back(tmp_path: Path) -> None:
    place = tmp_path / QUARANTINE
    place.mkdir()
    name = f"clicks-{random_ids.new_id()}.seg"
    (place / name).symlink_to("nowhere")
    assert put_back(tmp_path, oldest=clock.now() - timedelta(days=1)).segments == ()
    (place / name).unlink()
    _write(place / name, _miss())
    assert put_back(tmp_path, oldest=clock.now() - timedelta(days=1)).segments == (tmp_path / name,)


def test_an_error_of_ours_puts_nothing_aside_and_releases_what_was_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        _write(tmp_path / f"clicks-{random_ids.new_id()}.seg", _miss())
    first = sorted(tmp_path.glob("clicks-*"))[0]
    really = os.open

    def out_of_files(path: object, *rest: int) -> int:
        if str(path).endswith(".seg") and path != first:
            raise OSError(24, "Too many open files")
        return really(path, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", out_of_files)
        with pytest.raises(OSError, match="Too many"):
            claim(tmp_path, "clicks", bytes_max=1 << 20)
    again = claim(tmp_path, "clicks", bytes_max=1 << 20)
    assert len(again) == 2
    for each in again:
        each.release()


async def test_a_drain_that_ends_no_pass_while_lines_wait_is_told(tmp_path: Path) -> None:
    old = clock.now() - timedelta(seconds=STALLED_AFTER_S + 1)
    assert stalled(tmp_path) == []
    _write(tmp_path / f"orders-{floor_at(old)}.seg", _miss(old))
    assert stalled(tmp_path) == ["orders"]

    async def fails(lines: object) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await drain(tmp_path, "orders", fails)
    assert stalled(tmp_path) == ["orders"]

    async def record(lines: object) -> None:
        return None

    # It catches up: other passes end, though old lines wait.
    await drain(tmp_path, "orders", record)
    _write(tmp_path / f"orders-{floor_at(old)}.seg", _miss(old))
    assert stalled(tmp_path) == []
    assert set(KINDS) == {"orders", "clicks"}


async def test_a_stranger_among_the_recycled_files_does_not_stop_the_writer(tmp_path: Path) -> None:
    (tmp_path / ".orders-0.spare").mkdir()
    spool = Spool(tmp_path, kind="orders")
    spool.append(b"line")
    await spool.synced()
    # The segment after this one is made in a thread, which looks for a recycled file.
    for _ in range(500):
        if len([name for name in names(tmp_path) if name.startswith("orders-")]) == 2:
            break
        await asyncio.sleep(0.01)
    else:
        raise AssertionError(f"no segment was made ahead: {names(tmp_path)}")
    sweep(tmp_path)
    await spool.close()
