"""``:name`` parameters to what a driver takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import msgspec

# Strings, quoted names, comments, dollar quotes and casts are passed over; what is left as :name is a parameter.
_TOKEN: Final = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|::|:(?P<name>[A-Za-z_]\w*)""", re.DOTALL
)


class Bound(msgspec.Struct, frozen=True):
    """A statement in a driver's own form, and the names of its parameters in the driver's order."""

    statement: str
    names: tuple[str, ...]


def _bind(statement: str, placeholder: Callable[[str, list[str]], str]) -> Bound:
    names: list[str] = []

    def put(match: re.Match[str]) -> str:
        name = match["name"]
        return match.group() if name is None else placeholder(name, names)

    return Bound(_TOKEN.sub(put, statement), tuple(names))


@lru_cache(maxsize=1_024)
def bind_numbered(statement: str) -> Bound:
    """``$1`` placeholders; a name used twice is one parameter."""

    def numbered(name: str, names: list[str]) -> str:
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _bind(statement, numbered)


@lru_cache(maxsize=1_024)
def bind_positional(statement: str) -> Bound:
    """``?`` placeholders; a name used twice is two parameters."""

    def positional(name: str, names: list[str]) -> str:
        names.append(name)
        return "?"

    return _bind(statement, positional)
