"""Whether the tests of the pure core would find a mistake in it: planted mistakes, counted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
FOUND_PERCENT_MIN: Final = 90
TESTS: Final = {
    "allowance": ["test_allowance.py"],
    "breaker": ["test_breaker.py"],
    "delivery": ["test_delivery_states.py"],
    "effect": ["test_effect_states.py", "test_after_attempt.py", "test_after_look_up.py"],
    "outbox_row": ["test_outbox_row.py"],
    "policy": ["test_policy.py"],
    "retry": ["test_retry.py"],
}
"""The tests of each file, the quickest to find something first."""


@pytest.mark.reliability
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", TESTS)
def test_the_tests_find_nearly_every_mistake_that_is_planted(name: str) -> None:
    tests = [f"tests/states/{file}" for file in [*TESTS[name], "test_records.py"]]
    run = subprocess.run(
        [sys.executable, "-m", "tests.states.mutation", f"duly.states.{name}", *tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    *survivors, last = run.stdout.splitlines()
    found, total = map(int, last.split(" of "))
    print(f"{name}: {last} mistakes found, {100 * found / total:.1f} %")
    told = "\n".join(f"src/duly/states/{name}.py:{survivor}" for survivor in survivors)
    assert 100 * found >= FOUND_PERCENT_MIN * total, f"Only {last} are found. Test what is changed here:\n{told}"
