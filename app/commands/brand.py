"""`ariane brand`: deletes the brand of a key whole, after its name was typed.

Exit status: 0; 1 when it could not be done.
"""

from typing import Annotated

import typer

from app.commands.client import Key, Url, connect
from app.commands.output import printable
from app.errors import AppError

app = typer.Typer(no_args_is_help=True)


@app.callback()
def brand() -> None:
    """The brand of the key."""


@app.command("delete")
def delete_brand(
    name: Annotated[str | None, typer.Option("--name", help="The brand's name, instead of typing it.")] = None,
    key: Key = None,
    url: Url = None,
) -> None:
    """Delete the brand with everything in it, for ever. Asks to type its name."""
    with connect(url, key) as api:
        asked = api.post("/v1/brand/delete", {})
        shown = printable(asked["name"])
        typed = (
            typer.prompt(f"This deletes {shown!r} with {asked['orders']} orders for ever. Its name", err=True)
            if name is None
            else name
        )
        if typed.strip() != asked["name"]:
            raise AppError(f"that is not its name, {shown!r}; nothing was deleted")
        job = api.post("/v1/brand/delete", {"confirmation": asked["confirmation"]})
    print(f"{shown} is being deleted ({job['id']}); its keys end now, so nothing more can be asked about it")
