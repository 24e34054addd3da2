"""`ariane deliveries`: list and show what shops sent, and read it again.

Exit status: 0; 3 when a replay leaves something to look at (rejected again, still unsigned); 1 when it could not be done.
"""

import json
from itertools import islice
from typing import Annotated
from urllib.parse import quote

import typer

from app.commands.client import Api, Json, Key, Url, connect
from app.commands.output import LOOK_AT_IT, ROOMY_COLUMNS, AsJson, columns, print_json, print_table, printable
from app.errors import AppError

app = typer.Typer(no_args_is_help=True)

Status = Annotated[str | None, typer.Option(help="received, recorded, ignored, rejected or unsigned.")]
Reason = Annotated[str | None, typer.Option(help="A word of docs/deliveries.md, such as not_json.")]
Source = Annotated[str | None, typer.Option(help="Only those of one source (src_…).")]
Platform = Annotated[str | None, typer.Option(help="Only those of one platform.")]
Topic = Annotated[str | None, typer.Option(help="What the sender calls it.")]
Shop = Annotated[str | None, typer.Option(help="Only those of one shop.")]
Since = Annotated[str | None, typer.Option("--from", help="Received at or after, such as 2026-11-22T09:30:00Z.")]
To = Annotated[str | None, typer.Option(help="Received before.")]


@app.command("list")
def list_deliveries(
    status: Status = None,
    reason: Reason = None,
    source: Source = None,
    platform: Platform = None,
    topic: Topic = None,
    shop: Shop = None,
    conversion: Annotated[str | None, typer.Option(help="Only those that told of one order (cnv_…).")] = None,
    external_id: Annotated[str | None, typer.Option(help="The sender's own id of the message.")] = None,
    from_: Since = None,
    to: To = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Rows at most.")] = 25,
    wide: Annotated[
        bool, typer.Option("--wide", help="Every column whole, whatever the width of the terminal.")
    ] = False,
    as_json: AsJson = False,
    key: Key = None,
    url: Url = None,
) -> None:
    """List what was received, newest first. `--status rejected` and `--status unsigned` are what needs a look."""
    filters = {
        "status": status, "reason": reason, "source_id": source, "platform": platform, "topic": topic, "shop": shop,
        "conversion_id": conversion, "external_id": external_id, "from": from_, "to": to,
    }  # fmt: skip
    with connect(url, key) as api:
        found = list(islice(api.pages("/v1/deliveries", **filters), limit + 1))
    rows = found[:limit]
    if as_json:
        print_json(rows)
        return
    if not rows:
        print("no delivery is like that" if any(filters.values()) else "nothing has been received yet")
        return
    _print_list(rows, wide=wide)
    if len(found) > limit:
        print(f"and older ones: --limit shows more than {limit}")


def _print_list(rows: list[Json], *, wide: bool) -> None:
    """In a narrow terminal one column says why a message was not recorded, or else what it was."""
    roomy = wide or columns() >= ROOMY_COLUMNS
    cells = []
    for row in rows:
        why = ": ".join(filter(None, (row["reason"], row["detail"])))
        message = f"{row['platform']} {row['topic']}".strip()
        received = row["received_at"].replace("T", " ")
        whole = (received[:19], row["id"], row["status"], message, why)
        cells.append(whole if roomy else (received[:16], row["id"], row["status"], why or message))
    headers = ("UTC", "id", "status", "message", "why") if roomy else ("UTC", "id", "status", "why, or message")
    print_table(headers, cells, cut=("message", "why", "why, or message"), wide=wide)


@app.command("show")
def show_delivery(
    id: Annotated[str, typer.Argument(help="dlv_…")],
    as_json: AsJson = False,
    key: Key = None,
    url: Url = None,
) -> None:
    """Show one message: what became of it, what is read in it, and its raw body (for a key that may write)."""
    if not id.startswith("dlv_"):
        raise AppError(f"{id!r} is no id of a delivery: dlv_…, as `ariane deliveries list` shows it")
    with connect(url, key) as api:
        found = api.get(f"/v1/deliveries/{quote(id, safe='')}")
    if as_json:
        print_json(found)
        return
    body, encoded, read = found.pop("body"), found.pop("body_base64"), found.pop("read")
    headers = found.pop("headers") or {}
    for name, value in found.items():
        if value is not None:
            print(f"{name:<16} {printable(str(value))}")
    for name, value in headers.items():
        print(f"{'header':<16} {printable(f'{name}: {value}')}")
    print(f"\nread\n{json.dumps(read, indent=2, ensure_ascii=False)}")
    if not found["withheld"]:
        print(f"\nbody\n{printable(body) if body is not None else encoded}")


@app.command("replay")
def replay_deliveries(
    ids: Annotated[list[str] | None, typer.Argument(help="dlv_… (or a filter)", show_default=False)] = None,
    status: Status = None,
    reason: Reason = None,
    source: Source = None,
    platform: Platform = None,
    topic: Topic = None,
    shop: Shop = None,
    from_: Since = None,
    to: To = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be read.")] = False,
    as_json: AsJson = False,
    key: Key = None,
    url: Url = None,
) -> None:
    """Read messages again and record what they say, after a fix. What is recorded already changes nothing."""
    filters = {
        "ids": ids or None, "status": status, "reason": reason, "source_id": source, "platform": platform, "topic": topic,
        "shop": shop, "from": from_, "to": to, "dry_run": dry_run or None,
    }  # fmt: skip
    given = {name: value for name, value in filters.items() if value is not None}
    if not given.keys() - {"dry_run"}:
        raise AppError(
            "give ids, or a filter such as --status rejected --reason not_json: not simply everything there is"
        )
    with connect(url, key) as api:
        result = _replay(api, given)
    if as_json:
        print_json(result)
    else:
        _print_replay(result)
    raise typer.Exit(LOOK_AT_IT if result["rejected"] or result["unsigned"] else 0)


def _replay(api: Api, body: Json) -> Json:
    answer = api.post("/v1/deliveries/replay", body)
    if "progress" not in answer:
        return answer
    path = f"/v1/jobs/{answer['id']}"
    try:
        job = api.follow(answer)
    except KeyboardInterrupt:
        raise AppError(f"the job {answer['id']} goes on: GET {path}, POST {path}/cancel") from None
    if job["state"] == "cancelled":
        raise AppError(
            f"the job {job['id']} was cancelled after {job['progress']['done']} deliveries; what it did stays"
        )
    return dict(job["result"])


def _print_replay(result: Json) -> None:
    would = "would be " if result["dry_run"] else ""
    counts = "recorded {recorded}, ignored {ignored}, rejected again {rejected}, still unsigned {unsigned}".format(
        **result
    )
    print(f"{would}{counts}")
    if result["reasons"]:
        cells = [
            [str(each["count"]), each["status"], each["reason"], each["example_id"], each["detail"] or ""]
            for each in result["reasons"]
        ]
        # In a narrow terminal, `deliveries show` with the example's id says the rest.
        shown = 5 if columns() >= ROOMY_COLUMNS else 4
        headers = ("how many", "status", "reason", "for example", "which says")
        print_table(headers[:shown], [cell[:shown] for cell in cells], cut=("which says",))
