"""What a peer's program is asked and what it answers: one JSON argument, one line of JSON at the end of its output.

A program may use of the project what takes the standard library alone: this file, `measured`, `loop` and values.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final, Literal

from benchmarks.measured import Measured

FILLED: Final = "filled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """*url* names a database that is there and empty, or one that an earlier ``fill`` left; empty without a database.

    *in_flight* is how many operations are under way at any time; *is_tuned* asks for what the peer's own documentation
    advises beyond its defaults.
    """

    step: Literal["fill", "measure"]
    url: str
    operations: int
    in_flight: int
    is_tuned: bool

    def as_argument(self) -> str:
        """The argument that `serve` reads."""
        return json.dumps(asdict(self))


def serve(measure: Callable[[Asked], Measured], fill: Callable[[Asked], None] | None = None) -> None:
    """Do what the only argument asks, and print the answer as the last line."""
    asked = Asked(**json.loads(sys.argv[1]))
    if asked.step == "measure":
        print(json.dumps(asdict(measure(asked))), flush=True)
        return
    if fill is None:
        raise ValueError("This program has nothing to fill.")
    fill(asked)
    print(FILLED, flush=True)
