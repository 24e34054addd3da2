"""`ariane doctor` and `ariane orders split`: what an upgrade left as it was, and setting it right, on the machine that runs the service."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from app.commands.database import Data, reached
from app.commands.output import LOOK_AT_IT, AsJson, print_json, print_table
from app.domain import ids
from app.errors import AppError
from app.settings import Settings, read_settings

if TYPE_CHECKING:
    import asyncpg

orders = typer.Typer(no_args_is_help=True)

T = TypeVar("T")


def doctor(
    wide: Annotated[bool, typer.Option("--wide", help="Cut nothing, whatever the width of the terminal.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List stored orders that need a look: those that a release before made of several orders of a shop. Ends with 3 when there are any."""
    from app.intake.deliveries.splitting import merged_orders

    found = _ask(read_settings(data=data), merged_orders)
    if as_json:
        print_json([each._asdict() for each in found])
    elif found:
        headers = ["brand", "id", "shop", "order", "status", "made of"]
        rows = [[*each[:3], each.order_id or "", each.status, ", ".join(each.primary_refs)] for each in found]
        print_table(headers, rows, cut=("brand", "made of"), wide=wide)
        print("`ariane orders split ID` makes the orders of the shop of one of these")
    else:
        print("no stored order was made of several")
    if found:
        raise typer.Exit(LOOK_AT_IT)


@orders.command("split")
def split(
    id: Annotated[str, typer.Argument(help="cnv_…, as `ariane doctor` shows it")],
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Take an order apart that a release before made of several orders of a shop, and show those that it is now. Asking twice changes nothing."""
    from app.intake.deliveries.splitting import split_merged

    try:
        conversion_id = ids.read("conversion", id)
    except ValueError as error:
        raise AppError(f"{id}: {error}") from None

    async def ask(connection: "asyncpg.Connection") -> list[dict[str, object]]:
        async with connection.transaction():
            states = await split_merged(connection, conversion_id)
        if states is None:
            raise AppError(f"{id}: there is no such order")
        shown = ("shop", "order_id", "status", "currency", "net_minor", "refunded_minor")
        return [
            {"id": ids.show("conversion", key), **{name: states[key].conversion[name] for name in shown}}
            for key in sorted(states)
        ]

    found = _ask(read_settings(data=data), ask)
    if as_json:
        print_json(found)
    else:
        print_table(list(found[0]), [[str(value) for value in each.values()] for each in found], cut=())


def _ask(settings: Settings, question: "Callable[[asyncpg.Connection], Awaitable[T]]") -> T:
    import asyncpg

    async def answer(dsn: str) -> T:
        connection = await asyncpg.connect(dsn)
        try:
            return await question(connection)
        finally:
            await connection.close()

    with reached(settings, make=False) as dsn:
        return asyncio.run(answer(dsn))
