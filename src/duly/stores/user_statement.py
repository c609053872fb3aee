"""What both SQL stores refuse in a statement of the user's own, before it reaches the database."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Final

from duly.errors import UserSqlError
from duly.stores.placeholders import Bound

_ENDS_TRANSACTION: Final = re.compile(
    r"(?:\s|;|--[^\n]*(?:\n|$)|/\*.*?\*/)*(BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE|PREPARE\s+TRANSACTION)\b",
    re.DOTALL | re.IGNORECASE,
)


def values_of(statement: str, bound: Bound, parameters: Mapping[str, object]) -> list[object]:
    """The values of a statement's parameters, in the driver's order. Raises `UserSqlError`."""
    ends = _ENDS_TRANSACTION.match(statement)
    if ends is not None:
        raise UserSqlError(
            f"{ends[1].upper()} is not for handlers: the transaction begins and ends with the handler. Raise an error "
            f"to take it back. The statement: {statement}"
        )
    missing = next((name for name in bound.names if name not in parameters), None)
    if missing is not None:
        raise UserSqlError(f"The statement has a parameter :{missing} that was not passed: {statement}")
    return [parameters[name] for name in bound.names]


def all_values_of(statement: str, bound: Bound, rows: Sequence[Mapping[str, object]]) -> list[Sequence[object]]:
    """The values of a statement's parameters for each of *rows*. Raises `UserSqlError`."""
    first = values_of(statement, bound, rows[0])
    if len(first) < 2:
        return [first, *(values_of(statement, bound, row) for row in rows[1:])]
    try:
        return [first, *map(itemgetter(*bound.names), rows[1:])]
    except KeyError:
        return [values_of(statement, bound, row) for row in rows]
