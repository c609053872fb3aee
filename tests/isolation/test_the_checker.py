"""The checker itself: each anomaly, written into a history by hand, is found; what may be, is not taken for one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.isolation.anomalies import Kind
from tests.isolation.checker import check
from tests.isolation.history import Document, History, Logged, Outcome, Rows, State, Write, read_history, write_history
from tests.isolation.telling import Telling

OVERLAPPING = (100, 200)


def beginning() -> Telling:
    """Two aggregates, x with 1 and y with 2."""
    return Telling().did("o1", Write("x", 1), reads={"x": None}).did("o2", Write("y", 2), reads={"y": None})


def found(history: History) -> set[Kind]:
    return check(history).kinds()


def changed(history: History, **rows: object) -> History:
    """The history with other rows."""
    return msgspec.structs.replace(history, rows=msgspec.structs.replace(history.rows, **rows))


def whole() -> History:
    """A history without a fault, with everything in it that can be told."""
    return (
        beginning()
        .did("o3", Write("x", 3), Write("y", 4), reads={"x": (1,), "y": (2,)})
        .did("o4", Write("x", 5), Write("x", 6), reads={"x": (1, 3)})
        .did("o5", Write("x", 7), outcome=Outcome.REFUSED)
        .did("o6", Write("b", 8, name="ann"), reads={"b": None})
        .did("o7", Write("b", 9), reads={"b": (8,)})
        .did("o8", Write("c", 10, name="ann"), reads={"c": None})
        .did("o9", Write("b", 11, removes=True), reads={"b": (8, 9)})
        .did("o10", Write("b", 12), reads={"b": None})
        .did("o11", Write("y", 13), Write("x", 14, taken_back=True), reads={"y": (2, 4)}, peeks={"x": (1, 3, 5, 6)})
        .did("o12", Write("y", 15), outcome=Outcome.UNKNOWN)
        .did("q1", reads={"x": (1, 3, 5, 6), "y": (2, 4, 13)}, is_query=True)
        .history()
    )


def test_a_history_without_a_fault_passes_and_dependencies_were_inferred() -> None:
    findings = check(whole())
    assert findings.text() == ""
    assert {"WW", "WR", "RW", "REAL_TIME"} >= findings.edges.keys() >= {"WW", "WR", "REAL_TIME"}


def test_a_history_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    write_history(tmp_path / "history.jsonl", whole())
    assert read_history(tmp_path / "history.jsonl") == whole()


def test_two_that_wrote_on_top_of_the_same_are_a_lost_update() -> None:
    history = (
        beginning()
        .did("o3", Write("x", 3), reads={"x": (1,)}, time=OVERLAPPING)
        .did("o4", Write("x", 4), reads={"x": (1,)}, time=OVERLAPPING)
        .history()
    )
    # The second one has overwritten what the first one wrote.
    documents = (Document("x", 3, (1, 4)), Document("y", 1, (2,)))
    assert found(changed(history, documents=documents)) >= {Kind.LOST_UPDATE, Kind.VANISHED, Kind.ROWS_DISAGREE}


def test_an_update_of_what_was_removed_and_created_again_is_a_lost_update() -> None:
    history = (
        beginning()
        .did("o3", Write("x", 3, removes=True), reads={"x": (1,)})
        .did("o4", Write("x", 4), reads={"x": None})
        .did("o5", Write("x", 5), reads={"x": (1,)}, time=(21, 300))
        .history()
    )
    documents = (Document("x", 2, (1, 5)), Document("y", 1, (2,)))
    assert found(changed(history, documents=documents)) >= {Kind.LOST_UPDATE, Kind.VANISHED}


def test_a_read_of_what_was_refused_is_found() -> None:
    history = beginning().did("o3", Write("x", 3), outcome=Outcome.REFUSED).did("o4", reads={"x": (1, 3)}).history()
    assert found(history) == {Kind.ABORTED_READ}


def test_a_read_of_what_a_savepoint_took_back_is_found() -> None:
    history = beginning().did("o3", Write("x", 3, taken_back=True), Write("y", 4), reads={"y": (2,)})
    assert found(history.did("o4", peeks={"x": (1, 3)}).history()) == {Kind.ABORTED_READ}


def test_a_read_between_two_writes_of_one_command_is_found() -> None:
    history = (
        beginning()
        .did("o3", Write("x", 3), Write("x", 4), reads={"x": (1,)}, time=OVERLAPPING)
        .did("o4", peeks={"x": (1, 3)}, time=OVERLAPPING)
        .history()
    )
    assert found(history) == {Kind.INTERMEDIATE_READ}


def test_two_that_read_each_others_writes_are_circular_information_flow() -> None:
    history = (
        beginning()
        .did("o3", Write("x", 3), reads={"x": (1,), "y": (2, 4)}, time=OVERLAPPING)
        .did("o4", Write("y", 4), reads={"y": (2,), "x": (1, 3)}, time=OVERLAPPING)
        .history()
    )
    assert found(history) == {Kind.CIRCULAR_FLOW}


def test_writes_in_a_circle_are_found() -> None:
    history = (
        beginning()
        .did("o3", Write("x", 3), Write("y", 4), reads={"x": (1,)}, time=OVERLAPPING)
        .did("o4", Write("x", 5), Write("y", 6), reads={"x": (1, 3)}, time=OVERLAPPING)
        .did("q1", peeks={"y": (2, 6, 4)}, is_query=True)
        .history()
    )
    documents = (Document("x", 3, (1, 3, 5)), Document("y", 3, (2, 6, 4)))
    assert Kind.DIRTY_WRITE in found(changed(history, documents=documents))


@pytest.mark.parametrize("is_query", [False, True], ids=["got and checked", "in one statement"])
def test_half_a_change_that_is_read_is_found(is_query: bool) -> None:
    history = (
        beginning()
        .did("o3", Write("x", 3), Write("y", 4), reads={"x": (1,), "y": (2,)}, time=OVERLAPPING)
        .did("r", reads={"x": (1, 3), "y": (2,)}, is_query=is_query, time=OVERLAPPING)
        .history()
    )
    assert found(history) == {Kind.READ_SKEW}


def test_two_moments_met_by_peeking_are_allowed() -> None:
    history = (
        beginning()
        .did("o3", Write("x", 3), Write("y", 4), reads={"x": (1,), "y": (2,)}, time=OVERLAPPING)
        .did("r", peeks={"x": (1, 3), "y": (2,)}, time=OVERLAPPING)
        .history()
    )
    findings = check(history)
    assert findings.anomalies == ()
    assert findings.allowed == 1


def skew(*, peeks: bool = False) -> History:
    """Two of whom each reads what the other one writes."""
    told = beginning()
    for name, own, number, other in (("o3", "x", 3, "y"), ("o4", "y", 4, "x")):
        states: dict[str, State] = {"x": (1,), "y": (2,)}
        seen = {other: states[other]}
        own_state = {own: states[own]}
        told.did(
            name,
            Write(own, number),
            reads=own_state if peeks else {**own_state, **seen},
            peeks=seen if peeks else None,
            time=OVERLAPPING,
        )
    return told.history()


def test_write_skew_by_what_was_got_is_found_and_by_what_was_peeked_at_it_is_counted() -> None:
    assert found(skew()) == {Kind.WRITE_SKEW}
    assert found(skew(peeks=True)) == set()
    assert check(skew(peeks=True)).allowed == 1


def test_write_skew_by_what_was_found_to_be_absent_is_found() -> None:
    history = (
        beginning()
        .did("o3", Write("u", 3), reads={"u": None, "v": None}, time=OVERLAPPING)
        .did("o4", Write("v", 4), reads={"v": None, "u": None}, time=OVERLAPPING)
        .history()
    )
    assert found(history) == {Kind.WRITE_SKEW}


@pytest.mark.parametrize("peeks", [False, True])
def test_an_answer_that_is_older_than_an_acknowledged_write_is_found(peeks: bool) -> None:
    told = beginning().did("o3", Write("x", 3), reads={"x": (1,)})
    old: dict[str, State] = {"x": (1,)}
    told.did("q1", reads=None if peeks else old, peeks=old if peeks else None, is_query=True)
    assert found(told.history()) == {Kind.STALE}


def test_an_acknowledged_write_that_is_gone_is_found_in_documents_and_log() -> None:
    history = beginning().did("o3", Write("x", 3), reads={"x": (1,)}).history()
    without = History(operations=history.operations, rows=beginning().history().rows)
    assert Kind.VANISHED in found(without)


def test_a_refused_write_that_is_there_is_found() -> None:
    history = beginning().did("o3", Write("z", 3), outcome=Outcome.REFUSED).history()
    log = (*history.rows.log, Logged(3, "z", 1, 3))
    documents = (*history.rows.documents, Document("z", 1, (3,)))
    assert found(changed(history, log=log, documents=documents)) >= {Kind.REFUSED_WRITE, Kind.ABORTED_READ}


def test_a_write_that_nobody_asked_for_is_found() -> None:
    history = changed(beginning().history(), documents=(Document("x", 2, (1, 99)), Document("y", 1, (2,))))
    assert Kind.PHANTOM_WRITE in found(history)


def test_half_a_change_of_a_command_that_nobody_knows_of_is_found() -> None:
    history = beginning().did("o3", Write("x", 3), Write("y", 4), outcome=Outcome.UNKNOWN).history()
    log = (*history.rows.log, Logged(3, "x", 2, 3))
    documents = (Document("x", 2, (1, 3)), Document("y", 1, (2,)))
    assert Kind.HALF_CHANGE in found(changed(history, log=log, documents=documents, inbox=("o1", "o2", "o3")))


def test_a_command_that_was_applied_twice_is_found() -> None:
    history = beginning().did("o3", Write("x", 3), reads={"x": (1,)}).history()
    documents = (Document("x", 3, (1, 3, 3)), Document("y", 1, (2,)))
    assert Kind.TWICE in found(changed(history, documents=documents))
    log = (*history.rows.log, Logged(4, "x", 3, 3))
    assert Kind.TWICE in found(changed(history, log=log))
    assert Kind.TWICE in found(changed(history, inbox=(*history.rows.inbox, "o3")))


def test_two_answers_to_one_command_id_are_found() -> None:
    told = beginning().did("o3", Write("x", 3), reads={"x": (1,)}, time=OVERLAPPING)
    assert found(told.did("o3", reads={"x": ()}, time=OVERLAPPING).history()) == {Kind.TWO_ANSWERS}


def test_two_owners_of_a_unique_value_are_found() -> None:
    history = (
        beginning()
        .did("o3", Write("b", 3, name="ann"), reads={"b": None}, time=OVERLAPPING)
        .did("o4", Write("c", 4, name="ann"), reads={"c": None}, time=OVERLAPPING)
        .history()
    )
    assert found(changed(history, names=(("ann", "c"),))) >= {Kind.TWO_OWNERS, Kind.ROWS_DISAGREE}


def test_a_unique_entry_that_is_left_is_found() -> None:
    history = beginning().did("o3", Write("b", 3, name="ann"), outcome=Outcome.REFUSED).history()
    assert found(changed(history, names=(("ann", "b"),))) == {Kind.ROWS_DISAGREE}


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ({"inbox": ("o1",)}, Kind.HALF_CHANGE),
        ({"inbox": ("o1", "o2", "o9")}, Kind.REFUSED_WRITE),
        ({"jotted": ("o1",)}, Kind.REFUSED_WRITE),
        ({"texted": ("o2",)}, Kind.REFUSED_WRITE),
        ({"undelivered": 1}, Kind.ROWS_DISAGREE),
        ({"heard": (("x", (1,)),)}, Kind.ROWS_DISAGREE),
        ({"heard": (("x", (1, 1)), ("y", (2,)))}, Kind.ROWS_DISAGREE),
        ({"documents": (Document("x", 2, (1,)), Document("y", 1, (2,)))}, Kind.ROWS_DISAGREE),
        ({"log": (Logged(1, "x", 1, 1),)}, Kind.VANISHED),
    ],
)
def test_rows_that_do_not_belong_together_are_found(rows: dict[str, object], kind: Kind) -> None:
    assert kind in found(changed(beginning().history(), **rows))


def test_events_of_one_stream_out_of_order_are_found_in_the_log_and_with_the_subscriber() -> None:
    history = beginning().did("o3", Write("x", 3), reads={"x": (1,)}).history()
    one, two, three = history.rows.log
    assert Kind.ORDER in found(changed(history, log=(three, two, one)))
    assert found(changed(history, heard=(("x", (3, 1)), ("y", (2,))))) == {Kind.ORDER}


def test_no_rows_at_all_are_no_proof() -> None:
    assert Kind.VANISHED in found(changed(whole(), **msgspec.structs.asdict(Rows())))


def test_every_anomaly_has_a_history_in_which_it_is_found() -> None:
    text = Path(__file__).read_text()
    assert [kind for kind in Kind if f"Kind.{kind.name}" not in text] == []


def test_two_orders_of_the_same_writes_are_found() -> None:
    history = (
        beginning()
        .did("o3", Write("x", 3), reads={"x": (1,)}, time=OVERLAPPING)
        .did("o4", Write("x", 4), reads={"x": (1, 3)}, time=OVERLAPPING)
        .did("q1", peeks={"x": (1, 4, 3)}, is_query=True)
        .history()
    )
    assert Kind.DIVERGED in found(history)
