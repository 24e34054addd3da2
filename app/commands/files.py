"""`ariane import` and `ariane reconcile`: send a file to the REST API, follow its job with a progress bar, and show the result.

Exit status: 0 when there is nothing to look at, 3 when there is (refused lines, differences), 1 when it could not be done.
"""

import os
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.client import Api, Json, Key, Url, connect
from app.commands.output import LOOK_AT_IT, AsJson, console, print_json, printable
from app.errors import AppError

if TYPE_CHECKING:
    from rich.table import Table

SHOWN_LINES = 20


class Format(StrEnum):
    """How the file is written."""

    csv = "csv"
    ndjson = "ndjson"


TYPES = {Format.csv: "text/csv", Format.ndjson: "application/x-ndjson"}
SUFFIXES = {
    ".csv": Format.csv,
    ".tsv": Format.csv,
    ".txt": Format.csv,
    ".ndjson": Format.ndjson,
    ".jsonl": Format.ndjson,
}

WORKBOOKS = (".xlsx", ".xls", ".ods", ".numbers")

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="CSV or NDJSON.")]
Written = Annotated[Format | None, typer.Option("--format", help="Else by the file's name.")]
Shop = Annotated[str | None, typer.Option(help="Of orders that name none; main by default.")]
Kind = Annotated[str | None, typer.Option(help="Of orders that name none; sale by default.")]
Report = Annotated[Path | None, typer.Option(help="Write every line of the answer to this CSV file.")]


def import_file(
    file: File,
    url: Url = None,
    key: Key = None,
    shop: Shop = None,
    kind: Kind = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read every line and record none.")] = False,
    written: Written = None,
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Import a file of orders and refunds (docs/import.md). Ends with 3 when lines were refused."""
    _refuse_unwritable(report)
    with connect(url, key) as api:
        parameters = {"shop": shop, "kind": kind, "dry_run": "true" if dry_run else None}
        job = _send(api, "/v1/imports", file, written, parameters)
        if not as_json:
            _show_import(job["result"])
            _show_lines(api, job, {"refused": job["result"]["refused"]})
        _report(api, job, report, job["result"]["refused"], as_json)
    raise typer.Exit(LOOK_AT_IT if job["result"]["refused"] or job["state"] == "cancelled" else 0)


def reconcile_file(
    file: File,
    url: Url = None,
    key: Key = None,
    since: Annotated[
        str | None, typer.Option("--from", help="The list has every order since, 2026-11-01T00:00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="The list has every order before.")] = None,
    shop: Shop = None,
    kind: Kind = None,
    written: Written = None,
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Compare the shop's own order list with what was recorded (docs/reconcile.md). Ends with 3 when they differ."""
    _refuse_unwritable(report)
    with connect(url, key) as api:
        parameters = {"shop": shop, "kind": kind, "from": since, "to": until}
        job = _send(api, "/v1/reconciliations", file, written, parameters)
        orders = dict((job["result"] or {}).get("orders", {}))
        differing = {status: count for status, count in orders.items() if status != "matched" and count}
        if not as_json:
            _show_reconciliation(job["result"], api.get("/v1/brand")["currencies"])
            _show_lines(api, job, differing)
        _report(api, job, report, sum(differing.values()), as_json)
    raise typer.Exit(LOOK_AT_IT if differing else 0)


def _refuse_unwritable(report: Path | None) -> None:
    """Raises AppError when the report could not be written: before the work, not after it."""
    if report is None:
        return
    if report.is_dir():
        raise AppError(f"--report {report}: is a directory")
    if not report.parent.is_dir():
        raise AppError(f"--report {report}: there is no directory {report.parent}")
    if not os.access(report if report.exists() else report.parent, os.W_OK):
        raise AppError(f"--report {report}: may not be written")


def _send(api: Api, path: str, file: Path, written: Format | None, parameters: dict[str, str | None]) -> Json:
    """Send the file; the job once it has ended."""
    if written is None and file.suffix.lower() in WORKBOOKS:
        raise AppError(f"{file.name}: is a workbook; save the sheet as CSV UTF-8")
    form = written or SUFFIXES.get(file.suffix.lower())
    if form is None:
        raise AppError(f"{file.name}: say --format csv or --format ndjson; its name does not tell")
    job = api.upload(path, file, TYPES[form], **parameters)
    try:
        job = api.follow(job)
    except KeyboardInterrupt:
        raise AppError(
            f"the job goes on without you: GET /v1/jobs/{job['id']}, POST /v1/jobs/{job['id']}/cancel"
        ) from None
    if job["state"] == "cancelled" and not job["result"]:
        raise AppError(f"the job {job['id']} was cancelled before anything came of it")
    return job


def _show_import(result: Json) -> None:
    shown = _table("", "", "lines")
    for kind in ("orders", "refunds"):
        for word, count in result[kind].items():
            shown.add_row(kind, word, str(count))
    for word in ("conflicting", "refused", "blank"):
        shown.add_row(word, "", str(result[word]))
    console().print(shown)


def _show_reconciliation(result: Json, declared: dict[str, int]) -> None:
    shown = _table("orders", "reason", "count")
    for status, reasons in result["reasons"].items():
        for reason, count in reasons.items():
            shown.add_row(status, reason, str(count))
    console().print(shown)
    for fall in result["waterfalls"]:
        currency = fall["currency"]
        shown = _table(f"waterfall, {currency}", "", "amount")
        for step in fall["steps"]:
            name, _, reason = step["step"].partition(".")
            shown.add_row(name.replace("_", " "), reason.replace("_", " "), _amount(step["minor"], currency, declared))
        shown.add_section()
        shown.add_row("= all orders, net", "", _amount(fall["all_orders_net_minor"], currency, declared))
        shown.add_row("unattributed", "", _amount(-fall["unattributed_minor"], currency, declared))
        shown.add_row("= attributed", "", _amount(fall["attributed_minor"], currency, declared))
        console().print(shown)


def _show_lines(api: Api, job: Json, counts: dict[str, int]) -> None:
    """Print the first lines that somebody should look at."""
    if not sum(counts.values()):
        return
    shown = _table("line", "status", "reason", "order", "detail")
    lines = (line for status in counts for line in api.pages(f"/v1/jobs/{job['id']}/lines", status=status))
    for line in islice(lines, SHOWN_LINES):
        order_id = line["details"].get("order_id") or ""
        cells = (str(line["number"]), line["status"], line["reason"] or "", str(order_id), line["detail"] or "")
        shown.add_row(*map(printable, cells))
    console().print(shown)


def _report(api: Api, job: Json, report: Path | None, total: int, as_json: bool) -> None:
    """Write all lines to the report, if one is named, or say where the lines are that were not shown; print the job as JSON if wanted."""
    if report is not None:
        api.download(f"/v1/jobs/{job['id']}/lines.csv", report)
    if as_json:
        print_json(job)
    elif report is not None:
        print(f"all lines: {report}")
    elif total > SHOWN_LINES:
        print(f"and {total - SHOWN_LINES} more: --report FILE, or GET /v1/jobs/{job['id']}/lines.csv")


def _table(*columns: str) -> "Table":
    from rich.table import Table

    shown = Table(box=None, header_style="bold")
    for column in columns:
        shown.add_column(column, justify="right" if column in ("lines", "count", "amount", "line") else "left")
    return shown


def _amount(minor: int, currency: str, declared: dict[str, int]) -> str:
    from app.domain.money import to_decimal

    return f"{to_decimal(minor, currency, declared):,}"
