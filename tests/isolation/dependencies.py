"""Who depends on whom: the graph of a history, and the circles in it that isolation forbids."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from typing import Final

from tests.isolation.anomalies import Anomaly, Kind
from tests.isolation.graph import Edge, Graph, Step, told
from tests.isolation.history import History, Operation, Read
from tests.isolation.versions import NOTHING, Versions, top_of

FLOW: Final = frozenset({Edge.WW, Edge.WR})
PROMISED: Final = frozenset({*FLOW, Edge.RW})
STRICT: Final = frozenset({*PROMISED, Edge.REAL_TIME})
ANYTHING: Final = frozenset({*PROMISED, Edge.RW_UNCHECKED})


def dependencies(history: History, versions: Versions) -> Graph:
    """All edges that the lists tell, and those of time."""
    graph = Graph()
    for key in versions.known_keys():
        _writes_in_order(graph, key, versions)
    applied = [operation for operation in history.operations if versions.is_applied(operation)]
    for operation in applied:
        for read in operation.reads:
            _read_between_writes(graph, operation, read, versions)
    _real_time(graph, applied)
    return graph


def _writes_in_order(graph: Graph, key: str, versions: Versions) -> None:
    lives = versions.lives(key)
    if lives is None:
        return
    numbers = [number for first in lives for number in versions.chain(first) if number in versions.writers]
    for before, after in pairwise(numbers):
        graph.add(versions.writers[before].operation.id, Edge.WW, versions.writers[after].operation.id)


def _read_between_writes(graph: Graph, operation: Operation, read: Read, versions: Versions) -> None:
    top = top_of(read)
    last = versions.writers.get(top)
    if last is not None:
        graph.add(last.operation.id, Edge.WR, operation.id)
    following = versions.next_after(top) if top != NOTHING else _first_after_nothing(operation, read, versions)
    overwrote = versions.writers.get(following) if following is not None else None
    if overwrote is not None:
        edge = Edge.RW if read.checked else Edge.RW_UNCHECKED
        graph.add(operation.id, edge, overwrote.operation.id)


def _first_after_nothing(operation: Operation, read: Read, versions: Versions) -> int | None:
    """What came into being after somebody saw nothing there; None when there was nothing more than once."""
    lives = versions.lives(read.key)
    if not lives or any(write.key == read.key for write in operation.kept):
        return None  # its own write is the first one then, and the edges between writes say the rest
    *_, last = versions.chain(lives[-1])
    is_gone = last in versions.writers and versions.writers[last].write.removes
    return lives[0] if len(lives) == 1 and not is_gone else None


def _real_time(graph: Graph, applied: list[Operation]) -> None:
    """Edges from what was answered to what was called afterwards; those that follow from others are left out."""
    moments = sorted(
        [(operation.invoked, 1, operation) for operation in applied]
        + [(operation.returned, 0, operation) for operation in applied if operation.returned is not None],
        key=lambda moment: moment[:2],
    )
    frontier: dict[str, None] = {}
    preceding: dict[str, list[str]] = {}
    for _, is_call, operation in moments:
        if is_call:
            preceding[operation.id] = list(frontier)
            for before in frontier:
                graph.add(before, Edge.REAL_TIME, operation.id)
        else:
            for covered in preceding.get(operation.id, ()):
                frontier.pop(covered, None)
            frontier[operation.id] = None


def forbidden_circles(graph: Graph, history: History) -> list[Anomaly]:
    """A circle of each sort, for each set of operations that lie on one."""
    found: list[Anomaly] = []
    explained: set[str] = set()
    names = {operation.id: str(operation) for operation in history.operations}

    def look(kind: Kind, edges: frozenset[Edge]) -> None:
        for members in graph.components(edges):
            if explained.isdisjoint(members):
                explained.update(members)
                found.append(Anomaly(kind, told(_named(graph.circle(members, edges), names))))

    look(Kind.DIRTY_WRITE, frozenset({Edge.WW}))
    look(Kind.CIRCULAR_FLOW, FLOW)
    for members in graph.components(PROMISED):
        if explained.isdisjoint(members):
            skew = _single(graph, members)
            if skew is not None:
                explained.update(members)
                found.append(Anomaly(Kind.READ_SKEW, told(_named(skew, names))))
    look(Kind.WRITE_SKEW, PROMISED)
    look(Kind.STALE, STRICT)
    return found


def _single(graph: Graph, members: Collection[str]) -> list[Step] | None:
    """A circle with one edge from a read to a later write."""
    for reader, edge, writer in graph.edges({Edge.RW}):
        if reader in members and writer in members:
            way = graph.path(writer, reader, FLOW, members)
            if way is not None:
                return [(reader, edge, writer), *way]
    return None


def allowed_circles(graph: Graph) -> int:
    """How many sets of operations lie on circles that only unchecked reads close: these may be, and the docs say so."""
    promised = {member for members in graph.components(PROMISED) for member in members}
    return sum(promised.isdisjoint(members) for members in graph.components(ANYTHING))


def _named(steps: list[Step], names: dict[str, str]) -> list[Step]:
    return [(names.get(before, before), edge, names.get(after, after)) for before, edge, after in steps]
