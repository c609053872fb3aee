"""All scenarios, and what is not run yet, with the reason."""

from __future__ import annotations

from typing import Final

from tests.reliability.r02_failpoints import R02
from tests.reliability.r05_stopped_worker import R05
from tests.reliability.r27_outage import R27
from tests.reliability.r29_rollbacks import R29
from tests.reliability.r31_lost_answers import R31
from tests.reliability.scenario import Scenario

SCENARIOS: Final[tuple[Scenario, ...]] = (R02, R05, R27, R29, R31)
