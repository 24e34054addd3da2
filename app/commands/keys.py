"""`ariane keys`: make, list and revoke API keys in the database itself, as the owner of the machine."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from app.commands.database import Data, reached
from app.commands.output import ROOMY_COLUMNS, AsJson, columns, print_json, print_table
from app.errors import AppError
from app.settings import Settings, read_settings

if TYPE_CHECKING:
    import asyncpg

    from app.server.brand_keys import StoredKey

app = typer.Typer(no_args_is_help=True)

CONNECT_TIMEOUT_S = 5
WHOLE_KEY_COLUMNS = 160
"""Least width at which a table shows publishable keys whole, in characters."""
MOMENT = "%Y-%m-%dT%H:%M:%SZ"

T = TypeVar("T")


@app.command("create")
def create_keys(
    brand: Annotated[str, typer.Option(help="Name of the brand; it is made when it is new.")],
    scopes: Annotated[
        str, typer.Option(help="Of the secret key: read, write, conversions, admin.")
    ] = "read,write,admin",
    currency: Annotated[str | None, typer.Option(help="Of a new brand; EUR by default.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="Of a new brand; UTC by default.")] = None,
    shop: Annotated[
        str | None, typer.Option(help="Of what is reported with the keys; required where the brand has several.")
    ] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make a secret key for a brand, and the brand when it is new. The secret key is shown this once."""
    from app.server import brand_keys

    chosen = tuple(filter(None, (scope.strip() for scope in scopes.split(","))))
    issued = _ask(
        read_settings(data=data),
        lambda connection: brand_keys.issue_keys(
            connection, brand, chosen, currency=currency, time_zone=time_zone, shop=shop
        ),
        make=True,
    )
    made = asdict(issued)
    if as_json:
        print_json(made)
    else:
        for name, value in made.items():
            print(f"{name.replace('_', ' '):<16} {value}")


@app.command("list")
def list_keys(
    brand: Annotated[str | None, typer.Option(help="Only those of the brand of this name.")] = None,
    revoked: Annotated[bool, typer.Option("--revoked", help="Those that were revoked, too.")] = False,
    wide: Annotated[bool, typer.Option("--wide", help="Cut nothing, whatever the width of the terminal.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List the keys of every brand, without their secrets."""
    from app.server import brand_keys

    found = _ask(read_settings(data=data), lambda connection: brand_keys.list_keys(connection, brand, revoked=revoked))
    if as_json:
        print_json([_words(key) for key in found])
    elif found:
        _print_keys(found, wide=wide, revoked=revoked)
    else:
        print("there is no key: `ariane keys create --brand NAME` makes one")
    if len(found) == brand_keys.LISTED_MAX_ROWS:
        print(f"ariane: there may be more than these {brand_keys.LISTED_MAX_ROWS}: say --brand", file=sys.stderr)


@app.command("revoke")
def revoke_key(
    id: Annotated[str, typer.Argument(help="key_…, as `ariane keys list` shows it")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Revoke a key for good: within 2 seconds it is refused everywhere. Asks first, and says what will no longer work."""
    from app.server import brand_keys

    async def look(connection: "asyncpg.Connection") -> "tuple[StoredKey, list[StoredKey]]":
        key = await brand_keys.find_key(connection, id)
        return key, await brand_keys.list_keys(connection, key.brand)

    settings = read_settings(data=data)
    key, siblings = _ask(settings, look)
    if key.revoked_at is None:
        others = [each for each in siblings if each.brand_id == key.brand_id and each.id != key.id]
        print(f"{key.id} is {_described(key)}. {_consequence(key, others)}", file=sys.stderr)
        _confirm(yes)
        # A second connection: an embedded database kept open during the question would keep `ariane serve` from starting.
        done = _ask(settings, lambda connection: brand_keys.revoke_key(connection, key))
    else:
        print(f"{key.id} was revoked already, at {key.revoked_at:{MOMENT}}", file=sys.stderr)
        done = key
    if as_json:
        print_json(_words(done))
    elif key.revoked_at is None:
        print(f"revoked {key.id}")


def _ask(settings: Settings, question: "Callable[[asyncpg.Connection], Awaitable[T]]", *, make: bool = False) -> T:
    """The answer of `question`, asked over a connection to the database."""
    import asyncpg

    async def answer(dsn: str) -> T:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
        try:
            return await question(connection)
        finally:
            await connection.close()

    with reached(settings, make=make) as dsn:
        return asyncio.run(answer(dsn))


def _confirm(yes: bool) -> None:
    """Raises AppError unless the operator agrees."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise AppError("nothing was revoked: nobody can be asked here, say --yes")
    if not typer.confirm("Revoke it for good?", err=True):
        raise AppError("nothing was revoked")


def _described(key: "StoredKey") -> str:
    if key.kind == "secret":
        return f"a secret key of {key.brand!r} (sk_…{key.hint}, {', '.join(key.scopes) or 'no scopes'})"
    return f"the publishable key {key.hint} of {key.brand!r}"


def _consequence(key: "StoredKey", others: "list[StoredKey]") -> str:
    """What will no longer work once it is revoked. others: the brand's other keys in force."""
    if key.kind == "publishable":
        return f"Pages of the shop {key.shop!r} that carry it will not be heard any more."
    again = f"until `ariane keys create --brand {key.brand!r}` makes another"
    secrets = [each for each in others if each.kind == "secret"]
    if not secrets:
        return (
            f"It is the last one: nobody can ask the REST API for this brand {again}. Links, pixels and webhooks go on."
        )
    if "admin" in key.scopes and not any("admin" in each.scopes for each in secrets):
        return (
            f"It is the last one with the scope admin: keys, sources and hosts cannot be changed over the API {again}."
        )
    return "Whatever speaks to the REST API with it will be refused."


def _print_keys(found: "list[StoredKey]", *, wide: bool, revoked: bool) -> None:
    roomy = wide or columns() >= ROOMY_COLUMNS
    whole = wide or columns() >= WHOLE_KEY_COLUMNS
    headers = ["brand", "id", "key", "for"]
    headers += ["revoked"] if revoked else []
    headers += ["name", "made"] if roomy else []
    rows = []
    for key in found:
        secret = key.kind == "secret"
        shown = key.hint if whole and not secret else f"{'sk' if secret else 'pk'}_…{key.hint[-4:]}"
        cells = [key.brand, key.id, shown, ", ".join(key.scopes) if secret else f"pages of {key.shop}"]
        cells += [f"{key.revoked_at:%Y-%m-%d}" if key.revoked_at else ""] if revoked else []
        cells += [key.name, f"{key.created_at:%Y-%m-%d %H:%M}"] if roomy else []
        rows.append(cells)
    print_table(headers, rows, cut=("brand", "for", "name"), wide=wide)


def _words(key: "StoredKey") -> dict[str, Any]:
    moments = {"created_at": key.created_at, "revoked_at": key.revoked_at}
    return key.model_dump() | {name: moment and f"{moment:{MOMENT}}" for name, moment in moments.items()}
