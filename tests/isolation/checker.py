"""The checker: a history in, anomalies out. It knows nothing of duly but what it promises."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import msgspec

from tests.isolation.anomalies import Anomaly, Kind
from tests.isolation.dependencies import allowed_circles, dependencies, forbidden_circles
from tests.isolation.graph import Edge
from tests.isolation.history import History, Operation, Outcome, Read
from tests.isolation.judging_rows import rows_agree
from tests.isolation.versions import NOTHING, Versions, top_of


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What a history shows."""

    anomalies: tuple[Anomaly, ...]
    edges: dict[str, int]
    """How many dependencies of each sort were inferred. Without any, nothing was shown."""
    outcomes: dict[str, int]
    allowed: int
    """Sets of operations on circles that only unchecked reads close."""

    def kinds(self) -> set[Kind]:
        """The sorts of anomalies."""
        return {anomaly.kind for anomaly in self.anomalies}

    def text(self) -> str:
        """A line for each anomaly."""
        return "\n".join(str(anomaly) for anomaly in self.anomalies)


def check(history: History) -> Findings:
    """Look for every anomaly of `Kind`."""
    versions = Versions(history)
    graph = dependencies(history, versions)
    anomalies = [
        *versions.anomalies,
        *_intermediate_reads(history, versions),
        *_stale_reads(history, versions),
        *_answers(history),
        *forbidden_circles(graph, history),
        *rows_agree(history, versions),
    ]
    return Findings(
        anomalies=tuple(dict.fromkeys(anomalies)),
        edges=dict(Counter(edge.name for _, edge, _ in graph.edges(list(Edge)))),
        outcomes=dict(Counter(operation.outcome.value for operation in history.operations)),
        allowed=allowed_circles(graph),
    )


def _intermediate_reads(history: History, versions: Versions) -> list[Anomaly]:
    """Reads that end between two writes of one command to one aggregate."""
    between: dict[int, Operation] = {}
    for operation in history.operations:
        last: dict[str, int] = {}
        for write in operation.kept:
            if write.key in last:
                between[last[write.key]] = operation
            last[write.key] = write.number
    return [
        Anomaly(Kind.INTERMEDIATE_READ, f"{reader} read {read.key} {list(read.state or ())}, in the middle of {writer}")
        for reader in history.operations
        for read in reader.reads
        if (writer := between.get(top_of(read))) is not None and writer is not reader
    ]


def _stale_reads(history: History, versions: Versions) -> list[Anomaly]:
    """Also what is not checked is committed when it is read: no older than what was answered before the call."""
    found: list[Anomaly] = []
    for reader in history.operations:
        for read in reader.reads:
            top = top_of(read)
            later = versions.next_after(top) if top != NOTHING else None
            if later is None or later not in versions.writers:
                continue
            writer = versions.writers[later].operation
            if writer.returned is not None and writer.returned < reader.invoked:
                found.append(Anomaly(Kind.STALE, f"{reader} read {_told(read)} after {writer} was acknowledged"))
    return found


def _told(read: Read) -> str:
    return f"{read.key} {'nothing' if read.state is None else list(read.state)}"


def _answers(history: History) -> list[Anomaly]:
    """All who call under one id get the first result."""
    found: list[Anomaly] = []
    for operation in history.operations:
        answers = [call.reads for call in operation.calls if call.outcome is Outcome.OK]
        if any(one != other for one, other in pairwise(answers)):
            found.append(Anomaly(Kind.TWO_ANSWERS, f"{operation} has {len(set(answers))} results"))
    return found
