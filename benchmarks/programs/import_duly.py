"""Imports duly and prints how many seconds that took: ``python -m benchmarks.programs.import_duly``."""

import time

begun = time.perf_counter()
import duly  # noqa: E402, F401

print(time.perf_counter() - begun)
