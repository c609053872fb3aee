"""PostgreSQL's and asyncpg's errors in our own words. Source: PostgreSQL manual, appendix A (error codes)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import asyncpg

from duly.errors import (
    SchemaMissing,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
    UserSqlError,
)

DriverError = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What may come out of a call to asyncpg; a time limit of ours is a `TimeoutError`, and that is an `OSError`."""

REFUSED: Final = "DU001"
"""The database's ``duly.refuse``: the error's detail is a verdict."""

LOCK_NOT_GRANTED: Final = "55P03"
READ_ONLY: Final = "25006"

_LOST: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
_RUN_AGAIN: Final = frozenset({"40001", "40P01", "23505"})
_NOT_ITS_FAULT: Final = ("08", "53", "57", "58", "XX", "40", "25P03", "25P04", LOCK_NOT_GRANTED)
_NOTHING: Final = "Nothing of this change was stored."
_ARGUMENT: Final = re.compile(r"query argument \$(?P<number>\d+)")
_EXPECTED: Final = re.compile(r"\((expected [^()]*|value out of [^()]*)\)\s*$")


def code_of(error: BaseException) -> str:
    """The SQLSTATE of an error, empty when it did not come from the server."""
    return getattr(error, "sqlstate", None) or ""


def is_misfit(error: BaseException) -> bool:
    """Whether asyncpg could not encode a value, and so has sent nothing."""
    is_ours = getattr(error, "severity", None) is None  # the server's errors have one
    return is_ours and isinstance(error, (asyncpg.DataError, ValueError)) and isinstance(error, DriverError)


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone, so that nobody knows what became of a statement under way."""
    if isinstance(error, asyncpg.PostgresError):
        return code_of(error) in _LOST or code_of(error).startswith("08")
    if isinstance(error, asyncpg.InterfaceError):
        return not is_misfit(error)
    return isinstance(error, (OSError, asyncpg.InternalClientError))


def is_transient(error: BaseException) -> bool:
    """Whether the same unit, run again, may well succeed: serialization, deadlock, a race for the same key."""
    return code_of(error) in _RUN_AGAIN


def store_error(error: BaseException, url: str) -> StoreError:
    """The error of ours that says what *error* means for the user.

    Of a lost connection it does not say whether something was stored: see `lost_commit`.
    """
    if is_misfit(error):
        return StoreError(f"A value cannot be sent to {url}: {error}.")
    if isinstance(error, asyncpg.PostgresError):
        return _from_server(error, url)
    what = "took too long to answer" if isinstance(error, TimeoutError) else f"cannot be reached: {error}"
    return StoreUnavailable(f"{url} {what}. Check that the server runs, and the network between.")


def _from_server(error: asyncpg.PostgresError, url: str) -> StoreError:
    said = _said(error)
    match code_of(error):
        case "53100":
            return StoreFull(f"The disk of {url} is full: {said}. {_NOTHING} Make room and try again.")
        case "53300":
            return StoreUnavailable(
                f"{url} has no connection left: {said}. Raise max_connections there, or lower connections_max here."
            )
        case code if code == READ_ONLY:
            return StoreReadOnly(
                f"{url} does not accept writes: {said}. Connect to the primary; look at default_transaction_read_only."
            )
        case "25P02":
            return StoreError(f"An earlier statement of this transaction failed in {url}. Nothing of it was stored.")
        case code if code == LOCK_NOT_GRANTED:
            return StoreBusy(f"A lock in {url} was not granted in time: {said}. {_NOTHING} It may be sent again.")
        case "57014":
            return StoreBusy(f"{url} cut a statement short: {said}. {_NOTHING} Look at statement_timeout there.")
        case "40001" | "40P01" | "23505":
            return StoreBusy(f"Others were in the way in {url} every time: {said}. {_NOTHING} It may be sent again.")
        case "28P01" | "28000":
            return StoreUnavailable(f"{url} does not let us in: {said}. Check user, password and pg_hba.conf.")
        case "3D000":
            return StoreUnavailable(f"{url} does not exist: {said}. Create the database, or correct the store's URL.")
        case "3F000" | "42P01" | "42883" | "42704":
            return SchemaMissing(f"{url} has no duly schema, or not all of it: {said}. Run: duly migrate {url}")
        case "42501":
            return StoreError(f"{url} denies this user something: {said}. Grant it the rights on the schema duly.")
        case "54000":
            return StoreError(f"{url} cannot store a value of this size: {said}. Shorten keys and indexed values.")
        case code if is_lost(error) or code.startswith("53"):
            return StoreUnavailable(f"{url} is not available: {said}. Check that the server runs, and for how many.")
        case code if code.startswith(("58", "XX")):
            return StoreUnavailable(f"{url} has a fault of its own: {said}. Look at the server's log.")
        case code:
            return StoreError(f"{url} refused a statement: {said} (SQLSTATE {code}).")


class StatementOutdated(StoreBusy):
    """What a statement returns has changed since its connection prepared it: a table has other columns now."""


def user_sql_error(
    error: BaseException, statement: str, parameters: Sequence[str], url: str, *, selecting: bool
) -> StoreError:
    """What it means when a statement of the user's own, with these names of parameters, failed."""
    if is_misfit(error):
        return UserSqlError(
            f"In a statement {_misfit(error, parameters)}. Pass a value of the column's type, or cast the parameter, "
            f"like :name::text. The statement: {statement}"
        )
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return StatementOutdated(
            f"Columns have changed in {url} since it was asked last. {_NOTHING} It may be sent again."
        )
    if isinstance(error, asyncpg.PostgresError):
        code = code_of(error)
        if code.startswith(_NOT_ITS_FAULT) or (code == READ_ONLY and not selecting):
            return store_error(error, url)
        hint = " An earlier statement of this transaction failed." if code == "25P02" else ""
        return UserSqlError(
            f"The database refused a statement: {_said(error)} (SQLSTATE {code}).{hint} The statement: {statement}"
        )
    return store_error(error, url)


def _said(error: asyncpg.PostgresError) -> str:
    """The server's message, without its detail, which quotes values: errors end up in logs."""
    return str(error.args[0]) if error.args else type(error).__name__


def _misfit(error: BaseException, parameters: Sequence[str]) -> str:
    """What asyncpg cannot encode, without the value: which parameter, and what was expected."""
    numbered = _ARGUMENT.search(str(error))
    if numbered is None or not 0 < int(numbered["number"]) <= len(parameters):
        return "a parameter does not fit"
    expected = _EXPECTED.search(str(error))
    return f"parameter :{parameters[int(numbered['number']) - 1]} does not fit{f' ({expected[1]})' if expected else ''}"
