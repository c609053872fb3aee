"""The order of the writes of each aggregate, as the lists that were read tell it.

A list that was read is a piece of the order: 3 was appended on top of 2, and 2 on top of 1. A command that read [1, 2]
and then wrote 3 says the same. Two commands that wrote on top of the same list have lost an update between them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from tests.isolation.anomalies import Anomaly, Kind
from tests.isolation.history import History, Operation, Outcome, Read, State, Write

NOTHING: Final = 0
"""What the first number of a list was written on top of. Numbers begin with 1."""


class Written(NamedTuple):
    """Who wrote a number, and how it was meant."""

    operation: Operation
    write: Write


class Versions:
    """The writes of all aggregates, in order as far as it is known."""

    def __init__(self, history: History) -> None:
        self.anomalies: list[Anomaly] = []
        self.writers: dict[int, Written] = {
            write.number: Written(one, write) for one in history.operations for write in one.writes
        }
        self.before: dict[int, int] = {}
        """The number that a number was written on top of."""
        self._after: dict[int, set[int]] = defaultdict(set)
        self._firsts: dict[str, set[int]] = defaultdict(set)
        self._places = {logged.number: logged.position for logged in history.rows.log}
        self.seen: set[int] = set(self._places)
        """Numbers that are, or were, somewhere."""
        for operation in history.operations:
            for read in operation.reads:
                self._take(read.key, read.state, f"{operation} read")
            if operation.outcome is Outcome.OK:
                self._take_own(operation)
        for document in history.rows.documents:
            self._take(document.key, document.state, "at the end there is")
        self._check_lost_updates()

    def is_applied(self, operation: Operation) -> bool:
        """Whether it was done: a client was told so, or what it wrote was seen."""
        if operation.outcome is Outcome.UNKNOWN:
            return any(write.number in self.seen for write in operation.kept)
        return operation.outcome is Outcome.OK

    def next_after(self, number: int) -> int | None:
        """The number that came after *number* on its aggregate, if one is known and no other is."""
        following = self._after.get(number, set())
        return next(iter(following)) if len(following) == 1 else None

    def lives(self, key: str) -> list[int] | None:
        """The first number of each life of an aggregate, in order; None when the log does not tell the order."""
        firsts = self._firsts.get(key, set())
        if len(firsts) > 1 and not firsts <= self._places.keys():
            return None
        return sorted(firsts, key=lambda number: self._places.get(number, 0))

    def chain(self, first: int) -> Iterator[int]:
        """All numbers of one life, a removal last; it ends where the order is not known."""
        number: int | None = first
        met: set[int] = set()
        while number is not None and number not in met:
            yield number
            met.add(number)
            number = self.next_after(number)

    def known_keys(self) -> list[str]:
        """All aggregates that ever were."""
        return sorted(self._firsts)

    def _take(self, key: str, state: State, who: str) -> None:
        """What a list says."""
        if state is None:
            return
        if len(set(state)) < len(state):
            self._found(Kind.TWICE, f"{who} {key} {list(state)}, with a number twice")
            return
        for before, number in zip((NOTHING, *state), state, strict=False):
            self.seen.add(number)
            self._check_writer(key, number, f"{who} {key} {list(state)}")
            self._link(key, before, number)

    def _take_own(self, operation: Operation) -> None:
        """What an operation says that it wrote on top of what it read."""
        states: Mapping[str, State] = {read.key: read.state for read in operation.reads if read.checked}
        tops = {key: (state[-1] if state else NOTHING) for key, state in states.items()}
        for write in operation.kept:
            if write.key in tops:
                self._link(write.key, tops[write.key], write.number)
                tops[write.key] = write.number

    def _link(self, key: str, before: int, number: int) -> None:
        known = self.before.setdefault(number, before)
        if known != before:
            self._found(Kind.DIVERGED, f"on {key}, {number} was written on top of {known}, and of {before}")
        if before == NOTHING:
            self._firsts[key].add(number)
        else:
            self._after[before].add(number)

    def _check_writer(self, key: str, number: int, where: str) -> None:
        written = self.writers.get(number)
        if written is None or written.write.key != key or written.write.removes:
            self._found(Kind.PHANTOM_WRITE, f"{where}, and nobody was asked to write {number} there")
        elif written.operation.outcome is Outcome.REFUSED:
            self._found(Kind.ABORTED_READ, f"{where}, and {written.operation} was refused, which was to write {number}")
        elif written.write.taken_back:
            self._found(Kind.ABORTED_READ, f"{where}, and {written.operation} took {number} back")

    def _check_lost_updates(self) -> None:
        for before, following in sorted(self._after.items()):
            if len(following) > 1:
                who = " and ".join(
                    str(self.writers[number].operation) for number in sorted(following) if number in self.writers
                )
                self._found(Kind.LOST_UPDATE, f"{who} both wrote on top of number {before}")

    def _found(self, kind: Kind, text: str) -> None:
        anomaly = Anomaly(kind, text)
        if anomaly not in self.anomalies:
            self.anomalies.append(anomaly)


def top_of(read: Read) -> int:
    """The number that a read list ends with."""
    return read.state[-1] if read.state else NOTHING
