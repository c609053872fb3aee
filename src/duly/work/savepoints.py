"""Blocks of a handler that are taken back when they raise, while the rest of its transaction goes on.

1. What a block has done and what it has buffered go together: the database goes back to the savepoint, and aggregates,
   recorded events and requested effects to what they were at the beginning of the block.
2. A failed statement of the user's own is over with its block. A conflict is not: the whole unit runs again.
3. What was read in a block stays read, and is checked by the commit: whoever catches the error decides by it.
4. Ordinals, from which ids are derived, are not given back: an id that was handed out never means something else.
5. A block that is cancelled dooms its unit, unless a block around it is taken back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

from duly.errors import ScopeClosed, StoreError
from duly.ports.store import OpenTransaction
from duly.work.identity_map import IdentityMap, Moment
from duly.work.scope import Handling

OUT_OF_TURN: Final = (
    "A block of sql.savepoint() was not left in its turn: leave each before its handler returns, the inner one before "
    "the outer one, and never have two at the same time in several tasks. Nothing of the transaction was stored."
)
CANCELLED: Final = (
    "A block of sql.savepoint() was cancelled: what the database was doing is not known, and nothing of the "
    "transaction was stored. Put asyncio.timeout() inside of the block, not around it: then the block is taken back."
)


class Unit(Protocol):
    """What a block needs of its unit of work."""

    doomed: BaseException | None

    def handling(self) -> Handling:
        """The call under way. Raises `ScopeClosed` when there is none."""

    async def sql_transaction(self) -> OpenTransaction:
        """The open transaction, with what is buffered written into it."""


class _Block:
    """One block: where it began."""

    def __init__(self, name: str, handling: Handling, moment: Moment, lengths: list[int]) -> None:
        self.name = name
        self.handling = handling
        self.moment = moment
        self.lengths = lengths


class Savepoints:
    """The blocks that a unit of work is in, the innermost last."""

    def __init__(self, in_hand: IdentityMap, *buffers: list[Any]) -> None:
        """*buffers* are what a handler adds to while it runs, beside the aggregates in hand."""
        self._in_hand = in_hand
        self._buffers = buffers
        self._open: list[_Block] = []

    def check_left(self) -> None:
        """Raises `ScopeClosed` when the handler has ended inside a block."""
        if self._open:
            raise ScopeClosed(OUT_OF_TURN)

    @asynccontextmanager
    async def block(self, unit: Unit) -> AsyncIterator[None]:
        """Keep what is done inside; take it back when something is raised, which goes on to whoever is around it.

        Raises `StoreError`, `ScopeClosed`.
        """
        handling = unit.handling()
        transaction = await unit.sql_transaction()
        block = self._begin(handling)
        try:
            await transaction.savepoint(block.name)
            yield
            if not self._is_in_turn(block, unit):
                raise ScopeClosed(OUT_OF_TURN)
            if unit.doomed is not None:
                # Whoever was inside looked away from an error of the database.
                raise unit.doomed
            await transaction.release(block.name)
        except Exception:
            await self._take_back(block, unit, transaction)
            raise
        except BaseException:
            unit.doomed = unit.doomed or StoreError(CANCELLED)
            raise
        finally:
            self._open.remove(block)
            self._in_hand.end_moment(block.moment)

    def _begin(self, handling: Handling) -> _Block:
        name = f"duly_{len(self._open) + 1}"
        block = _Block(name, handling, self._in_hand.begin_moment(), [len(buffer) for buffer in self._buffers])
        self._open.append(block)
        return block

    def _is_in_turn(self, block: _Block, unit: Unit) -> bool:
        try:
            return self._open[-1] is block and unit.handling() is block.handling
        except ScopeClosed:
            return False

    async def _take_back(self, block: _Block, unit: Unit, transaction: OpenTransaction) -> None:
        if isinstance(unit.doomed, ScopeClosed) or not self._is_in_turn(block, unit):
            unit.doomed = unit.doomed or ScopeClosed(OUT_OF_TURN)
            return
        before, unit.doomed = unit.doomed, StoreError(CANCELLED)  # until it is done
        try:
            await transaction.rollback_to(block.name)
        except StoreError as failure:
            # The connection is lost, or a conflict has ended the transaction.
            unit.doomed = before or failure
            return
        self._in_hand.restore(block.moment)
        for buffer, length in zip(self._buffers, block.lengths, strict=True):
            del buffer[length:]
        unit.doomed = None
