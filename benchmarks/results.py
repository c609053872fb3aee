"""What is kept of a run: ``results.json``, a record for each key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec

from benchmarks.machine import Syncs
from benchmarks.peers.records import PeerRecord
from benchmarks.scaling import Curve
from benchmarks.series import Compared, Costs, Spread


class Result(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="measured"):
    """A benchmark that ran. `also` are its further comparisons: another floor, another figure."""

    work: str
    ours: float
    floor: float
    ratio: float
    unit: str
    rounds: int
    spread: Spread
    target: str
    score: float
    """How far the target is reached: 1 is there."""
    met: bool
    settled: bool
    """Whether every round says so too."""
    also: tuple[Compared, ...]
    more: str
    """What ours does more than the floor."""
    operations: int
    ours_cpu_us: float
    floor_cpu_us: float
    rows: Mapping[str, Mapping[str, int]]
    """By side, what it was seen to have written in the last round."""
    measured_at: str
    quick: bool
    machine: str
    load: float
    syncs: Syncs
    peers: tuple[PeerRecord, ...] = ()
    """Other libraries at the same work; those of an earlier run where the latest was without."""
    costs: Mapping[str, Costs] = {}
    """By side, what an operation asks and spends; nothing where nobody looked."""


class Scaled(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="scaled"):
    """How something grows; no floor is in it."""

    work: str
    curves: tuple[Curve, ...]
    rounds: int
    measured_at: str
    quick: bool
    machine: str
    load: float
    syncs: Syncs


class NotRunHere(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="not run"):
    """A benchmark that could not run, and why."""

    work: str
    reason: str


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="failed"):
    """A benchmark that ended in an error, or did less than its floor."""

    work: str
    error: str


Record: TypeAlias = Result | Scaled | NotRunHere | Failed
Records: TypeAlias = dict[str, Record]


def read_records(path: Path) -> Records:
    """What is in the file; nothing when it is absent. Raises `msgspec.DecodeError` when it is no such file."""
    if not path.exists():
        return {}
    return msgspec.json.decode(path.read_bytes(), type=Records)


def write_records(path: Path, records: Records) -> None:
    """Write them, for people to read and diff."""
    encoded = msgspec.json.format(msgspec.json.encode(_rounded(records)), indent=2)
    path.write_bytes(encoded + b"\n")


def merged(before: Records, now: Records, order: list[str]) -> Records:
    """What was there, with this run's keys in place of theirs; keys that no benchmark has any more go.

    A run without peers keeps those that were measured before, which say when that was.
    """
    both = {**before, **{key: _with_peers_of(before.get(key), record) for key, record in now.items()}}
    return {key: both[key] for key in order if key in both}


def _with_peers_of(before: Record | None, now: Record) -> Record:
    if isinstance(before, Result) and isinstance(now, Result) and not now.peers:
        return msgspec.structs.replace(now, peers=before.peers)
    return now


def _rounded(records: Records) -> object:
    """Plain data, numbers to five significant digits: more would pretend to be known."""
    return _significant(msgspec.to_builtins(records))


def _significant(value: object) -> object:
    match value:
        case float():
            return float(f"{value:.5g}")
        case dict():
            return {name: _significant(part) for name, part in value.items()}
        case list() | tuple():
            return [_significant(part) for part in value]
        case _:
            return value
