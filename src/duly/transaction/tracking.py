"""Commands whose callers want to know when what they did can be read elsewhere."""

from __future__ import annotations

import re
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec

from duly.errors import InvalidInput
from duly.messages.message import Command
from duly.ports.change import Done, Repeat
from duly.ports.log import LogStore
from duly.transaction.command_bus import CommandBus

R = TypeVar("R")

COMMITS_PER_STEP_MAX: Final = 250
_TOKEN: Final = re.compile(r"(?:([cp])([0-9]{1,18}))?", re.ASCII)


class Executed(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """What an execution came to. *token* is a short text, to be kept and given to `wait_until` as it is."""

    result: R
    token: str


class Committed(msgspec.Struct, frozen=True):
    """A row of the log of commits."""

    commit: int


class Reached(msgspec.Struct, frozen=True):
    """A position of the log; 0 is always reached."""

    position: int


Mark: TypeAlias = Committed | Reached
"""What a token stands for."""


class Tracking:
    """Executes commands and says what to wait for."""

    def __init__(self, commands: CommandBus, log: LogStore) -> None:
        self._commands = commands
        self._log = log

    async def execute(self, command: Command[R], *, tenant: str | None, command_id: str | None) -> Executed[R]:
        """As `CommandBus.settle`, with a token.

        The commit of an earlier execution is not known any more. Whatever is committed by now covers it.
        """
        result, verdict = await self._commands.settle(command, tenant=tenant, command_id=command_id)
        return Executed(result=result, token=token_of(await self._mark(verdict)))

    async def _mark(self, verdict: Done | Repeat) -> Mark:
        match verdict:
            case Done(commit=commit):
                return Reached(0) if commit is None else Committed(commit)
            case Repeat():
                while await self._log.number_commits(COMMITS_PER_STEP_MAX):
                    pass
                return Reached(await self._log.log_head())


def token_of(mark: Mark) -> str:
    """The text of a token: empty when there is nothing to wait for."""
    match mark:
        case Committed(commit=commit):
            return f"c{commit}"
        case Reached(position=position):
            return f"p{position}" if position else ""


def mark_of(token: str) -> Mark:
    """What a token stands for. Raises `InvalidInput`."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise InvalidInput(
            f"{token[:40]!r} is no token of execute_tracked. Give wait_until the token as it came, or '' for none."
        )
    kind, number = found.groups()
    if kind is None:
        return Reached(0)
    return Committed(int(number)) if kind == "c" else Reached(int(number))
