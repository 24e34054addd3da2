"""`ariane quarantine`: list lines of this machine's spool that could not be recorded, and put them back."""

import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app import clock
from app.commands.database import Data
from app.commands.output import LOOK_AT_IT, console, print_json
from app.settings import Settings, SettingsError, read_settings

if TYPE_CHECKING:
    from app.spool.quarantine import Held, HeldSegment

app = typer.Typer(no_args_is_help=True)

POLL_S = 0.1

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, with the whole lines.")]


@app.command("list")
def list_quarantine(as_json: AsJson = False, data: Data = None) -> None:
    """List what was set aside on this machine, and why."""
    from rich.table import Column, Table

    lines, segments = _held(_spool(read_settings(data=data)))
    if as_json:
        print_json([*map(_line_words, lines), *map(_segment_words, segments)])
        return
    if not lines and not segments:
        print("nothing is in quarantine")
        return
    copied = [Column(name, no_wrap=True) for name in ("id", "kind", "bytes")]
    shown = Table(*copied, "why", box=None, header_style="bold")
    for each in map(_line_words, lines):
        why = each["reason"] if not each["unreadable"] else f"{each['reason']} (this release: {each['unreadable']})"
        shown.add_row(each["id"] or "?", each["kind"] or "?", str(each["bytes"]), ascii(why)[1:-1])
    for each in map(_segment_words, segments):
        shown.add_row(each["segment"], each["kind"], str(each["bytes"]), each["reason"])
    console().print(shown)


@app.command("retry")
def retry_quarantine(
    wait_s: Annotated[
        int, typer.Option("--wait", min=0, max=600, help="Seconds to wait for the background process to record them.")
    ] = 10,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Put the lines back into the spool, each once, and say which are still refused. Ends with 3 when any is."""
    from app.spool.quarantine import put_back

    settings = read_settings(data=data)
    spool = _spool(settings)
    oldest = clock.now() - timedelta(days=settings.click_retention_days)
    try:
        done = put_back(spool, oldest=oldest)
    except OSError as error:
        raise SettingsError(f"{error.filename or spool}: {error.strerror}") from None
    drained = _await_drain(done.segments, wait_s)
    again = {each.line for each in done.lines}
    refused = list(done.refused)
    if drained and again:
        refused += [each for each in _held(spool)[0] if each.line in again]
    if as_json:
        shown = [_line_words(each) for each in refused]
        counts = {"put_back": len(done.lines), "segments": len(done.segments), "drained": drained}
        print_json({**counts, "refused": shown})
    else:
        print(f"{len(done.lines)} lines were put back into the spool, in {len(done.segments)} segments")
        if done.segments and not drained:
            print("they are recorded as soon as the background process runs; what it refuses again comes back here")
        for reason, count in Counter(each.unreadable or each.reason for each in refused).most_common():
            print(f"still refused: {count}: {ascii(reason)[1:-1]}")
    raise typer.Exit(LOOK_AT_IT if refused else 0)


def _await_drain(segments: tuple[Path, ...], wait_s: int) -> bool:
    """Whether all these segments have left the spool within `wait_s`."""
    deadline_s = clock.monotonic_s() + wait_s
    while any(path.exists() for path in segments):
        if clock.monotonic_s() >= deadline_s:
            return False
        time.sleep(POLL_S)
    return True


def _spool(settings: Settings) -> Path:
    """The spool's directory. Raises SettingsError without a data directory: an empty list would be an answer about the wrong one."""
    if not settings.data.is_dir():
        raise SettingsError(f"there is no directory {settings.data.absolute()}: say --data, as `ariane serve` has it")
    return settings.data / "spool"


def _held(spool: Path) -> "tuple[list[Held], list[HeldSegment]]":
    from app.spool.quarantine import held

    try:
        return held(spool)
    except OSError as error:
        raise SettingsError(f"{error.filename or spool}: {error.strerror}") from None


def _line_words(each: "Held") -> dict[str, Any]:
    return {
        "id": each.id,
        "kind": each.kind,
        "bytes": len(each.line),
        "reason": each.reason,
        "unreadable": each.unreadable,
        "line": each.line.decode("utf-8", "backslashreplace"),
    }


def _segment_words(each: "HeldSegment") -> dict[str, Any]:
    kind, _, _ = each.path.name.partition("-")
    reason = f"begun {each.began_at:%Y-%m-%d %H:%M} UTC, longer ago than clicks are kept: its rows may be gone, and would count twice"
    if each.fault:
        reason = f"cannot be read: {each.fault}; mend it, then `ariane quarantine retry` puts it back"
    return {"segment": each.path.name, "kind": kind, "bytes": each.size_bytes, "reason": reason}
