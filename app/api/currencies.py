"""Currencies in requests: those that everybody knows, and those that the brand has declared."""

from contextvars import ContextVar
from typing import Annotated

from fastapi import Depends, Request
from pydantic import AfterValidator, Field

from app.domain.money import NONE_DECLARED, Decimals, is_listed, read_currency, read_declared

DECLARED = "SELECT currencies FROM brand WHERE id = $1"
ISO_CHARS = 3
"""Length of a code of ISO 4217, in characters."""

_declared: ContextVar[Decimals] = ContextVar("_declared", default=NONE_DECLARED)
"""What the brand of the request that is being answered has declared: a field of a body is checked where nothing else of the request is known."""


async def _read_declared(request: Request) -> None:
    given = request.query_params.get("currency")
    if given is None and request.method != "GET":
        body = await request.json()
        given = body.get("currency") if isinstance(body, dict) else None
    # Nearly every currency is known without asking.
    if isinstance(given, str) and not is_listed(given.strip().upper()):
        # Not in the request's transaction: a report begins its own with its first statement.
        _declared.set(await read_declared_of(request))


async def read_declared_of(request: Request) -> Decimals:
    """Decimals of the currencies that the caller's brand has declared."""
    return read_declared(await request.app.state.pool.fetchval(DECLARED, request.state.caller.brand_id))


def _read(text: str) -> str:
    try:
        return read_currency(text, _declared.get())
    except ValueError as error:
        if len(text) == ISO_CHARS:
            raise
        raise ValueError(
            f"{text[:20]!r} is not an ISO 4217 currency; it has {ISO_CHARS} letters, such as EUR"
        ) from error


KNOWS_CURRENCIES = Depends(_read_declared)
"""Dependency of every operation with a field of the type `Currency`, so that it accepts the brand's own."""

Currency = Annotated[
    str,
    AfterValidator(_read),
    Field(
        description="ISO 4217 code, or one that the brand has declared (`currencies`).",
        examples=["EUR"],
        json_schema_extra={"minLength": 3, "maxLength": 10},
    ),
]
