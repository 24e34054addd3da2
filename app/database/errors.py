"""What an error of PostgreSQL or its driver is about: the way to the database, the database's state, or the data that was sent.

`is_passing`: try the same again later. `is_about_data`: the same data will fail again, so look for the row at fault and set it aside.
Some errors are neither, such as a missing table: a bug or a database that is set up wrongly.
"""

import traceback

import asyncpg

PLACES_SHOWN = 6
"""Innermost places of an error in the log."""

UNREACHABLE = (OSError, EOFError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Raised when the way to the database breaks. InternalClientError: asyncpg raises it when the server is killed while it writes."""

DRIVER_ERRORS = (asyncpg.PostgresError, *UNREACHABLE)
"""Everything that asyncpg raises."""

PASSING_STATES = ("08", "53", "57", "40001", "40P01", "55P03", "25006")
"""SQLSTATEs after which the same may succeed: connection, resources, shutdown or timeout, deadlock, lock, read-only standby."""

DATA_ERRORS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    ValueError,  # includes the InterfaceError that asyncpg raises for a value that it cannot send
)
"""Raised for what the data says. The same data fails again."""


def is_passing(error: BaseException) -> bool:
    """Whether the same may succeed later: the database is away, busy or restarting."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate).startswith(PASSING_STATES)
    return isinstance(error, UNREACHABLE) and not isinstance(error, ValueError)


def is_too_much_at_once(error: BaseException) -> bool:
    """Whether a smaller piece of the work may succeed at once: the statement ran out of time or memory.

    Such an error is passing too, but a queue must not wait for that: one order that always takes too long would hold up all others.
    """
    return isinstance(error, asyncpg.QueryCanceledError | asyncpg.OutOfMemoryError)


def is_about_data(error: BaseException) -> bool:
    """Whether the same data would fail again: PostgreSQL refuses it, or it brings out a bug of ours."""
    return isinstance(error, DATA_ERRORS) or not isinstance(error, DRIVER_ERRORS)


def place_of(error: BaseException) -> str:
    """The kind of an error and where it came up, for the log: without its text, which may quote a shopper's data (`Failing row contains …`)."""
    frames = traceback.extract_tb(error.__traceback__)[-PLACES_SHOWN:]
    places = " > ".join(f"{frame.filename.rpartition('/app/')[2]}:{frame.lineno}" for frame in frames)
    return f"{type(error).__name__} at {places or 'an unknown place'}"
