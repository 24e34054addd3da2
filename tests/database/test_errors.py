"""What an error of the database is about decides whether to wait, to look for the row at fault, or to give up."""

import asyncpg
import pytest
from asyncpg.exceptions._base import DataError as UnsendableError

from app.database.errors import is_about_data, is_passing
from app.domain.text import storable


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        TimeoutError(),
        EOFError(),
        asyncpg.InterfaceError("the pool is closing"),
        asyncpg.InternalClientError("got result for unknown protocol state"),
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.AdminShutdownError("terminating connection"),
        asyncpg.TooManyConnectionsError("too many clients"),
        asyncpg.DiskFullError("no space left"),
        asyncpg.DeadlockDetectedError("deadlock"),
        asyncpg.SerializationError("could not serialize"),
        asyncpg.LockNotAvailableError("lock timeout"),
        asyncpg.ReadOnlySQLTransactionError("a standby"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_passes_is_tried_again_and_blames_no_row(error: Exception) -> None:
    assert (is_passing(error), is_about_data(error)) == (True, False)


@pytest.mark.parametrize(
    "error",
    [
        UnsendableError("a lone surrogate"),
        asyncpg.CharacterNotInRepertoireError("a NUL"),
        asyncpg.UniqueViolationError("twice"),
        asyncpg.CheckViolationError("no month for it"),
        asyncpg.ProgramLimitExceededError("too long for an index"),
        ValueError("no message"),
        KeyError("a bug that one message brings out"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_data_says_fails_again(error: Exception) -> None:
    assert (is_passing(error), is_about_data(error)) == (False, True)


def test_a_database_that_lacks_a_column_is_neither() -> None:
    error = asyncpg.UndefinedColumnError("no such column")
    assert (is_passing(error), is_about_data(error)) == (False, False)


def test_a_text_is_made_storable_and_cut() -> None:
    assert storable("a\0b\ud800c") == "a␀b?c"
    assert storable("a\0b\ud800c", 3, nul="") == "ab"
    assert storable("é☃") == "é☃"
