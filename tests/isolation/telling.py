"""Histories written by hand: operations one after another, and the rows that a store without a fault would have."""

from __future__ import annotations

from collections import defaultdict

from tests.isolation.history import Call, Document, History, Logged, Operation, Outcome, Read, Rows, State, Write


class Telling:
    """Tells a history: one operation after another, unless a *time* is said, from call to answer."""

    def __init__(self) -> None:
        self._operations: list[Operation] = []
        self._clock = 0

    def did(
        self,
        operation_id: str,
        *writes: Write,
        reads: dict[str, State] | None = None,
        peeks: dict[str, State] | None = None,
        outcome: Outcome = Outcome.OK,
        time: tuple[int, int] | None = None,
        is_query: bool = False,
    ) -> Telling:
        """A call and its end."""
        self._clock += 10
        seen = [Read(key, state, True) for key, state in (reads or {}).items()]
        seen += [Read(key, state, False) for key, state in (peeks or {}).items()]
        invoked, returned = time or (self._clock, self._clock + 5)
        call = Call(
            invoked=invoked,
            returned=returned,
            outcome=outcome,
            reads=tuple(seen) if outcome is Outcome.OK else (),
        )
        known = next((one for one in self._operations if one.id == operation_id), None)
        if known is not None:
            self._operations.remove(known)
            self._operations.append(
                Operation(id=operation_id, calls=(*known.calls, call), writes=known.writes, is_query=is_query)
            )
        else:
            self._operations.append(Operation(id=operation_id, calls=(call,), writes=writes, is_query=is_query))
        return self

    def history(self, rows: Rows | None = None) -> History:
        """What was told. Without *rows*, those of a store that did what was acknowledged, in this order."""
        return History(operations=tuple(self._operations), rows=rows or rows_of(self._operations))


def rows_of(operations: list[Operation]) -> Rows:
    """What lies in a database in which these were done, one after another."""
    states: dict[str, list[int]] = {}
    versions: dict[str, int] = defaultdict(int)
    names: dict[str, str | None] = {}
    log: list[Logged] = []
    heard: dict[str, list[int]] = defaultdict(list)
    done = [one for one in operations if one.outcome is Outcome.OK and not one.is_query]
    for operation in done:
        for key in {write.key for write in operation.kept}:
            versions[key] += 1
        for write in operation.kept:
            log.append(Logged(len(log) + 1, write.key, versions[write.key], write.number, write.removes))
            heard[write.key].append(write.number)
            if write.removes:
                states.pop(write.key, None)
                names.pop(write.key, None)
            else:
                states.setdefault(write.key, []).append(write.number)
                names[write.key] = write.name
    return Rows(
        documents=tuple(
            Document(key, versions[key], tuple(numbers), names[key]) for key, numbers in sorted(states.items())
        ),
        log=tuple(log),
        inbox=tuple(one.id for one in done),
        names=tuple((name, key) for key, name in names.items() if name is not None),
        heard=tuple((key, tuple(numbers)) for key, numbers in heard.items()),
    )
