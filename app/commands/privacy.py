"""`ariane privacy`: hand out or erase what is kept of a person, over the REST API; the job is followed to its end.

Exit status: 0; 1 when it could not be done.
"""

from pathlib import Path
from typing import Annotated

import typer

from app.commands.client import Api, Json, Key, Url, connect
from app.commands.output import AsJson, print_json
from app.errors import AppError

app = typer.Typer(no_args_is_help=True)

Customer = Annotated[str | None, typer.Option("--customer", help="The shop system's id of a customer.")]
Email = Annotated[
    str | None, typer.Option("--email", help="The customer's e-mail; - asks for it, so that no shell remembers it.")
]
Order = Annotated[str | None, typer.Option("--order", help="An order's id or number, with --shop.")]
Shop = Annotated[str | None, typer.Option("--shop", help="The order's shop; main by default.")]
Conversion = Annotated[str | None, typer.Option("--conversion", help="An order by our id, cnv_…")]
Click = Annotated[str | None, typer.Option("--click", help="A click, clk_…, with whoever landed with it.")]


@app.command("export")
def export_person(
    customer: Customer = None,
    email: Email = None,
    order: Order = None,
    shop: Shop = None,
    conversion: Conversion = None,
    click: Click = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the file here; by default <job>.json.")] = None,
    as_json: AsJson = False,
    key: Key = None,
    url: Url = None,
) -> None:
    """Write everything that is kept of a person into a JSON file."""
    with connect(url, key) as api:
        job = _run(api, "export", customer, email, order, shop, conversion, click)
        file = out or Path(f"{job['id']}.json")
        api.download(job["result"]["download"], file)
    _print(job, as_json, f"written to {file}")


@app.command("erase")
def erase_person(
    customer: Customer = None,
    email: Email = None,
    order: Order = None,
    shop: Shop = None,
    conversion: Conversion = None,
    click: Click = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
    key: Key = None,
    url: Url = None,
) -> None:
    """Erase what identifies a person. Every figure stays as it is. It cannot be taken back."""
    if not yes:
        typer.confirm("Erase this for ever?", abort=True, err=True)
    with connect(url, key) as api:
        job = _run(api, "erase", customer, email, order, shop, conversion, click)
    _print(job, as_json, "erased; every figure stays as it was")


def _run(
    api: Api,
    what: str,
    customer: str | None,
    email: str | None,
    order: str | None,
    shop: str | None,
    conversion: str | None,
    click: str | None,
) -> Json:
    """The job once it has ended."""
    if email == "-":
        email = typer.prompt("E-mail", err=True)
    given = {
        "customer_id": customer, "email": email, "order_id": order, "shop": shop, "conversion_id": conversion, "click_id": click,
    }  # fmt: skip
    body = {name: value for name, value in given.items() if value is not None}
    job = api.follow(api.post(f"/v1/privacy/{what}", body))
    if job["state"] != "succeeded":
        raise AppError(f"the job {job['id']} was {job['state']}")
    return job


def _print(job: Json, as_json: bool, done: str) -> None:
    if as_json:
        print_json(job)
        return
    for name, count in job["result"]["found"].items():
        print(f"{name:<12} {count:>8}")
    print(f"{done} ({job['id']})")
