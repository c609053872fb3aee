"""Who must have come before whom, and circles in that."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator
from enum import Enum
from typing import TypeAlias


class Edge(Enum):
    """Why one operation comes before another."""

    WW = "wrote before"
    WR = "wrote what was read by"
    RW = "read before the write of"
    RW_UNCHECKED = "read, unchecked, before the write of"
    REAL_TIME = "was answered before the call of"


Step: TypeAlias = tuple[str, Edge, str]
"""From, why, to."""


class Graph:
    """Edges between operations, by id."""

    def __init__(self) -> None:
        self._edges: dict[str, dict[str, set[Edge]]] = defaultdict(lambda: defaultdict(set))

    def add(self, before: str, edge: Edge, after: str) -> None:
        """One comes before the other; of one and the same this says nothing."""
        if before != after:
            self._edges[before][after].add(edge)

    def edges(self, kinds: Collection[Edge]) -> Iterator[Step]:
        """All edges of these kinds."""
        for before, followers in self._edges.items():
            for after, found in followers.items():
                yield from ((before, edge, after) for edge in found if edge in kinds)

    def components(self, kinds: Collection[Edge]) -> list[frozenset[str]]:
        """Sets of operations that all lie on circles of edges of these kinds (Tarjan 1972, without recursion)."""
        wanted = frozenset(kinds)
        number: dict[str, int] = {}
        low: dict[str, int] = {}
        on_stack: dict[str, None] = {}
        found: list[frozenset[str]] = []
        for root in list(self._edges):
            if root in number:
                continue
            number[root] = low[root] = len(number)
            on_stack[root] = None
            work = [(root, self._after(root, wanted))]
            while work:
                at, followers = work[-1]
                following = next(followers, None)
                if following is None:
                    work.pop()
                    if work:
                        low[work[-1][0]] = min(low[work[-1][0]], low[at])
                    if low[at] == number[at]:
                        members = _pop_through(on_stack, at)
                        if len(members) > 1:
                            found.append(members)
                elif following not in number:
                    number[following] = low[following] = len(number)
                    on_stack[following] = None
                    work.append((following, self._after(following, wanted)))
                elif following in on_stack:
                    low[at] = min(low[at], number[following])
        return found

    def path(self, start: str, end: str, kinds: Collection[Edge], within: Collection[str]) -> list[Step] | None:
        """A shortest way from one operation to another; None when there is none."""
        wanted = [edge for edge in Edge if edge in kinds]
        came: dict[str, Step] = {}
        waiting = deque([start])
        while waiting:
            at = waiting.popleft()
            for following, found in self._edges.get(at, {}).items():
                edge = next((edge for edge in wanted if edge in found), None)
                if edge is None or following in came or following not in within:
                    continue
                came[following] = (at, edge, following)
                if following == end:
                    return _back(came, start, end)
                waiting.append(following)
        return None

    def circle(self, members: Collection[str], kinds: Collection[Edge]) -> list[Step]:
        """A shortest circle through one of these operations, which lie on one."""
        found = [self.path(member, member, kinds, members) for member in sorted(members)[:8]]
        return min((one for one in found if one), key=len)

    def _after(self, at: str, wanted: frozenset[Edge]) -> Iterator[str]:
        return iter([after for after, found in self._edges.get(at, {}).items() if found & wanted])


def _pop_through(stack: dict[str, None], last: str) -> frozenset[str]:
    members: set[str] = set()
    while last not in members:
        members.add(stack.popitem()[0])
    return frozenset(members)


def _back(came: dict[str, Step], start: str, end: str) -> list[Step]:
    steps = [came[end]]
    while steps[-1][0] != start:
        steps.append(came[steps[-1][0]])
    return steps[::-1]


def told(steps: Iterable[Step]) -> str:
    """A circle in words."""
    return "; ".join(f"{before} {edge.value} {after}" for before, edge, after in steps)
