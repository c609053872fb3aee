"""All scenarios, and what is not run yet, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.reliability.r02_failpoints import R02
from tests.reliability.r05_stopped_worker import R05
from tests.reliability.r09_commit_order import R09
from tests.reliability.r10_open_transactions import R10
from tests.reliability.r11_held_snapshot import R11
from tests.reliability.r19_lost_wake_ups import R19
from tests.reliability.r20_clocks import R20
from tests.reliability.r23_many_writers import R23
from tests.reliability.r27_outage import R27
from tests.reliability.r29_rollbacks import R29
from tests.reliability.r30_rebuilds import R30
from tests.reliability.r31_lost_answers import R31
from tests.reliability.scenario import Scenario
from tests.reliability.wired import WIRED

SCENARIOS: Final[tuple[Scenario, ...]] = (R02, R05, R09, R10, R11, R19, R20, R23, R27, R29, *R30, R31, *WIRED)

_LATER: Final = "its scenario is not built yet"
NOT_RUN: Final[Mapping[str, str]] = {
    "R01": f"{_LATER}; smallest form: tests/crashes",
    "R03": f"{_LATER}; smallest form: tests/crashes",
    "R04": _LATER,
    "R06": _LATER,
    "R07": _LATER,
    "R08": f"{_LATER}; the pool refuses a forked process in tests/contract",
    "R12": f"{_LATER}; smallest form: tests/contract/test_postgres_failures.py",
    "R13": _LATER,
    "R14": f"{_LATER}; smallest form: tests/contract/test_postgres_lost_commit.py",
    "R15": _LATER,
    "R16": f"{_LATER}; needs a network namespace, and with it root",
    "R17": f"{_LATER}; needs PgBouncer",
    "R18": f"{_LATER}; smallest form: tests/contract/test_postgres_concurrency.py",
    "R21": _LATER,
    "R22": "there is one version of the schema",
    "R24": f"{_LATER}; needs a file system that forgets",
    "R25": _LATER,
    "R26": "poison that kills the process is not counted yet (docs/guarantees.md)",
    "R28": _LATER,
    "R33": "there is no broker yet",
    "R34": _LATER,
    "R35": "nothing was released",
    "R37": "there are no schedules yet",
    "R38": "a soak is run by hand",
    **{f"S{number:02}": _LATER for number in (*range(1, 8), *range(12, 18))},
}
