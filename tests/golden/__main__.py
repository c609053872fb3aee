"""Adds to the corpus what it lacks: `python -m tests.golden` from the top folder. Nothing that is there is changed."""

from __future__ import annotations

import sys
from pathlib import Path

from duly.testing.golden import CorpusBroken, write_corpus
from examples.shop.application import MODULES
from tests.golden.samples import OF_DULY, SAMPLES


def main() -> int:
    """Write what is missing; 1 when something cannot be added."""
    try:
        written = write_corpus(Path(__file__).parent, MODULES, SAMPLES, also=OF_DULY)
    except CorpusBroken as error:
        print(error, file=sys.stderr)
        return 1
    for path in written:
        print(path.relative_to(Path(__file__).parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
