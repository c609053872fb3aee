"""A peer in one benchmark: it takes its turn in each round until something stops it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Protocol

import msgspec

from benchmarks.benchmark import NotRun
from benchmarks.measured import Measured
from benchmarks.peers.asked import FILLED, Asked
from benchmarks.peers.environments import ROOT
from benchmarks.places.place import Place

TURN_SECONDS_MAX: Final = 120
"""No turn takes so long unless it hangs."""
ERROR_LINE: Final = re.compile(r"[A-Za-z_][\w.]*: ")


class PeerTrouble(Exception):
    """A peer's program failed, hung or did less than it was entered for; the text says what was seen."""


class Pythons(Protocol):
    """Where peers' interpreters are."""

    def python(self, name: str) -> Path:
        """The interpreter for the peer *name*. Raises `NotRun` with the reason."""

    def version(self, name: str) -> str:
        """The peer's version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a peer does in a benchmark, and how that differs from the row it stands in."""

    peer: str
    """The library, as its requirement file is called."""
    program: str
    """The module that runs in the peer's environment."""
    differs: str
    """What it does less or more than ours, and how it is set up: it stands in the report."""
    variant: str = ""
    """Tells apart several entries of one peer."""
    operations_max: int | None = None
    """A slow peer does fewer than ours in a round; rates are compared."""
    times: int = 1
    """A fast peer does so many times as many as ours, so that its time can be told."""
    in_flight: int = 1
    is_tuned: bool = False
    is_filled: bool = False
    """Whether the program fills a database once, which each turn then gets a copy of."""
    leaves_out: frozenset[str] = frozenset()
    """Kinds of rows of the floor that the peer does not have; *differs* says so."""

    @property
    def name(self) -> str:
        """The name in the report."""
        return f"{self.peer}, {self.variant}" if self.variant else self.peer


@dataclass(slots=True, kw_only=True)
class Peer:
    """An entry with what it needs to run. *trouble* is why it takes no more turns."""

    entry: Entry
    pythons: Pythons
    place: Place | None
    trouble: str | None = None
    _operations: int = 0
    _full: str = field(default="")

    @property
    def version(self) -> str:
        """The version of the library."""
        return self.pythons.version(self.entry.peer)

    def open(self, operations: int) -> None:
        """Make ready for turns of *operations* at most: fill what each turn copies."""
        if self.trouble is not None:
            return
        self._operations = min(operations * self.entry.times, self.entry.operations_max or sys.maxsize)
        if not self.entry.is_filled or self.place is None:
            return
        self._full = self.place.create()
        try:
            said = self._run("fill", self._full)
            if said != FILLED:
                raise PeerTrouble(f"it answered {said[:200]!r} instead of {FILLED!r}")
        except (PeerTrouble, NotRun) as trouble:
            self.trouble = str(trouble)

    def close(self) -> None:
        """Throw away what `open` made."""
        full, self._full = self._full, ""
        if full and self.place is not None:
            self.place.remove(full)

    def take_turn(self, floor: Measured) -> Measured | None:
        """One measurement; None once there is trouble. The work is compared with that of the *floor* of the round."""
        if self.trouble is not None:
            return None
        try:
            measured = self._measured()
            check_peer(self.entry, measured, floor)
        except (PeerTrouble, NotRun) as trouble:
            self.trouble = str(trouble)
            return None
        return measured

    def _measured(self) -> Measured:
        if self.place is None:
            return _decoded(self._run("measure", ""))
        url = self.place.create(copy_of=self._full or None)
        try:
            return _decoded(self._run("measure", url))
        finally:
            self.place.remove(url)

    def _run(self, step: Literal["fill", "measure"], url: str) -> str:
        entry = self.entry
        asked = Asked(
            step=step, url=url, operations=self._operations, in_flight=entry.in_flight, is_tuned=entry.is_tuned
        )
        return run_program(self.pythons.python(entry.peer), entry.program, asked)


def run_program(python: Path, program: str, asked: Asked) -> str:
    """Run a peer's program; the last line that it printed. Raises `PeerTrouble`."""
    environment = {**_plain(os.environ), "PYTHONPATH": str(ROOT)}
    command = [str(python), "-W", "ignore", "-m", program, asked.as_argument()]
    try:
        ran = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TURN_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        raise PeerTrouble(f"it did not end within {TURN_SECONDS_MAX} s") from None
    except OSError as error:
        raise PeerTrouble(f"it cannot be started ({error.strerror})") from None
    if ran.returncode != 0:
        raise PeerTrouble(f"it ended with {ran.returncode}: {_error(ran.stderr)}")
    return _last_line(ran.stdout)


def check_peer(entry: Entry, measured: Measured, floor: Measured) -> None:
    """Raises `PeerTrouble` unless the peer did, per operation, at least the floor's work of each kind."""
    for kind, theirs in floor.rows.items():
        mine = measured.rows.get(kind, 0)
        if kind not in entry.leaves_out and mine * floor.operations < theirs * measured.operations:
            raise PeerTrouble(
                f"it did {mine:,} {kind} in {measured.operations:,} operations, the floor {theirs:,} in "
                f"{floor.operations:,}, and is not said to leave them out"
            )


def _decoded(line: str) -> Measured:
    try:
        measured = msgspec.json.decode(line, type=Measured)
    except msgspec.DecodeError as error:
        raise PeerTrouble(f"its answer {line[:200]!r} is none ({error})") from None
    if measured.operations < 1 or measured.seconds <= 0:
        raise PeerTrouble(f"it measured {measured.operations} operations in {measured.seconds} s")
    return measured


def _plain(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what would set up Python or a library differently."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(("PYTHON", "PG", "POSTGRES_", "SQLITE_", "PROCRASTINATE_"))
    }


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _error(traceback: str) -> str:
    """The line of the error itself: a database's message goes on below it."""
    named = [line for line in traceback.splitlines() if ERROR_LINE.match(line)]
    return (named[-1] if named else _last_line(traceback)) or "it said nothing"
