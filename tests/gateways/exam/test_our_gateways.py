"""Every gateway of duly's own passes the gateway exam."""

from __future__ import annotations

import pytest

from duly.testing.gateway_exam import Check, checks_of
from tests.gateways.exam.candidates import CANDIDATES

SAT = [(candidate.name, check) for candidate in CANDIDATES for check in checks_of(candidate)]


@pytest.mark.parametrize("check", [check for _, check in SAT], ids=[f"{name}: {check}" for name, check in SAT])
async def test_a_gateway_of_ours_passes(check: Check) -> None:
    await check.run()
