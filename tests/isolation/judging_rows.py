"""What lies in the database against what the clients were told."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.isolation.anomalies import Anomaly, Kind
from tests.isolation.history import History, Logged, Outcome
from tests.isolation.versions import Versions


def rows_agree(history: History, versions: Versions) -> list[Anomaly]:
    """Everything that is said twice in the database is said alike, and as the clients were told."""
    return [
        *_writes_are_there(history, versions),
        *_log_tells_the_documents(history),
        *_log_is_in_order(history),
        *_each_has_its_rows(history, versions),
        *_names_belong_to_one(history, versions),
        *_subscriber_heard_the_log(history),
    ]


def _writes_are_there(history: History, versions: Versions) -> Iterator[Anomaly]:
    """Each command's writes are all there, or, if it was refused, none."""
    logged = Counter(one.number for one in history.rows.log)
    kept = _numbers_that_lasted(history, versions)
    for operation in history.operations:
        present = [write.number for write in operation.kept if logged[write.number]]
        missing = [write.number for write in operation.kept if not logged[write.number]]
        match operation.outcome:
            case Outcome.OK if missing:
                yield Anomaly(Kind.VANISHED, f"{operation} was acknowledged, and the log has no event of {missing}")
            case Outcome.REFUSED if present:
                yield Anomaly(Kind.REFUSED_WRITE, f"{operation} was refused, and the log has events of {present}")
            case _ if present and missing:
                yield Anomaly(Kind.HALF_CHANGE, f"of {operation} the log has {present}, and not {missing}")
        taken_back = [write.number for write in operation.writes if write.taken_back and logged[write.number]]
        if taken_back:
            yield Anomaly(Kind.REFUSED_WRITE, f"{operation} took back what the log has: {taken_back}")
        if versions.is_applied(operation):
            gone = [write.number for write in operation.kept if write.number not in kept and not write.removes]
            if gone:
                yield Anomaly(Kind.VANISHED, f"{operation} was done, and {gone} are in no aggregate, nor were removed")
    for number, count in logged.items():
        if count > 1:
            yield Anomaly(Kind.TWICE, f"{count} events say that {number} was written")
        if number not in versions.writers:
            yield Anomaly(Kind.PHANTOM_WRITE, f"the log has an event of {number}, which nobody was asked to write")


def _numbers_that_lasted(history: History, versions: Versions) -> set[int]:
    """Numbers that are in an aggregate at the end, or were when it was removed."""
    kept = {number for document in history.rows.documents for number in document.state}
    for operation in history.operations:
        removed = {write.key for write in operation.kept if write.removes}
        if removed and versions.is_applied(operation):
            kept.update(number for read in operation.reads if read.key in removed for number in read.state or ())
            if operation.outcome is Outcome.UNKNOWN:  # nobody was told what it removed, but the log knows
                kept.update(one.number for one in history.rows.log if one.key in removed)
    return kept


def _log_tells_the_documents(history: History) -> Iterator[Anomaly]:
    told: dict[str, list[Logged]] = defaultdict(list)
    for one in history.rows.log:
        if one.removes:
            told[one.key].clear()
        else:
            told[one.key].append(one)
    documents = {document.key: document for document in history.rows.documents}
    for key in sorted(told.keys() | documents.keys()):
        numbers = tuple(one.number for one in told.get(key, ()))
        document = documents.get(key)
        state = document.state if document is not None else ()
        if numbers != state:
            yield Anomaly(Kind.ROWS_DISAGREE, f"{key} is {list(state)}, and the log says {list(numbers)}")
        elif document is not None and told[key] and document.version != told[key][-1].version:
            yield Anomaly(
                Kind.ROWS_DISAGREE,
                f"{key} has version {document.version}, and its last event version {told[key][-1].version}",
            )


def _log_is_in_order(history: History) -> Iterator[Anomaly]:
    """Versions of a stream do not fall, but after a removal."""
    last: dict[str, Logged] = {}
    for one in history.rows.log:
        before = last.get(one.key)
        if before is not None and not before.removes and one.version < before.version:
            yield Anomaly(Kind.ORDER, f"{one.key}: version {one.version} comes after {before.version} in the log")
        last[one.key] = one


def _each_has_its_rows(history: History, versions: Versions) -> Iterator[Anomaly]:
    done = {one.id for one in history.operations if not one.is_query and versions.is_applied(one)}
    unclear = {one.id for one in history.operations if one.outcome is Outcome.UNKNOWN and not one.kept}
    jotting = {one.id for one in history.operations if one.jots}
    texting = {one.id for one in history.operations if one.texts}
    rows = history.rows
    for what, wanted, found in (
        ("in the inbox", done, rows.inbox),
        ("in the user's table", done & jotting, rows.jotted),
        ("in the ledger", done & texting, rows.texted),
    ):
        for operation, count in Counter(found).items():
            if count > 1:
                yield Anomaly(Kind.TWICE, f"{operation} is {count} times {what}")
        if missing := wanted - set(found) - unclear:
            yield Anomaly(Kind.HALF_CHANGE, f"{len(missing)} commands were done and are not {what}: {_some(missing)}")
        if present := set(found) - wanted - unclear:
            yield Anomaly(Kind.REFUSED_WRITE, f"{len(present)} commands were not done and are {what}: {_some(present)}")


def _names_belong_to_one(history: History, versions: Versions) -> Iterator[Anomaly]:
    """At no time did two aggregates have the same value, by the order of the log; at the end the rows say the same."""
    owners: dict[str, str] = {}
    names: dict[str, str] = {}
    for one in history.rows.log:
        written = versions.writers.get(one.number)
        if written is None:
            continue
        value = None if one.removes else written.write.name
        if (before := names.pop(one.key, None)) is not None:
            owners.pop(before, None)
        if value is not None:
            if value in owners:
                yield Anomaly(Kind.TWO_OWNERS, f"{written.operation} gave {value} to {one.key}; {owners[value]} had it")
            owners[value], names[one.key] = one.key, value
    at_the_end = {document.key: document.name for document in history.rows.documents if document.name is not None}
    for what, found in (("the aggregates", at_the_end), ("the log", names)):
        rows = {key: value for value, key in history.rows.names}
        if found != rows:
            differ = sorted({*found.items()} ^ {*rows.items()})
            yield Anomaly(Kind.ROWS_DISAGREE, f"{what} and the unique entries differ in {differ}")


def _subscriber_heard_the_log(history: History) -> Iterator[Anomaly]:
    """Each event once, and those of one stream in their order."""
    log: dict[str, list[int]] = defaultdict(list)
    for one in history.rows.log:
        log[one.key].append(one.number)
    heard = dict(history.rows.heard)
    for key in sorted(log.keys() | heard.keys()):
        in_log, in_order = log.get(key, []), list(heard.get(key, ()))
        if sorted(in_log) != sorted(in_order):
            yield Anomaly(Kind.ROWS_DISAGREE, f"of {key} the log has {in_log}, and the subscriber heard {in_order}")
        elif in_log != in_order:
            yield Anomaly(Kind.ORDER, f"of {key} the log has {in_log}, and the subscriber heard {in_order}")
    if history.rows.undelivered or history.rows.parked:
        yield Anomaly(
            Kind.ROWS_DISAGREE,
            f"{history.rows.undelivered} promises are not kept, and {history.rows.parked} are parked",
        )


def _some(ids: set[str]) -> str:
    return ", ".join(sorted(ids)[:5])
