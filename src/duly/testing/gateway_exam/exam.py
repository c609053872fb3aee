"""The exam: every check that applies to a candidate."""

from __future__ import annotations

from duly.testing.gateway_exam.candidate import GatewayCandidate
from duly.testing.gateway_exam.check import Check, CheckFailed, Sitting
from duly.testing.gateway_exam.keeping_checks import keeping_checks
from duly.testing.gateway_exam.life_checks import life_checks
from duly.testing.gateway_exam.outcome_checks import outcome_checks
from duly.testing.gateway_exam.receipt_checks import receipt_checks


class ExamFailed(AssertionError):
    """A gateway failed checks; `failures` holds what each of them says."""

    def __init__(self, name: str, failures: tuple[str, ...], checks: int) -> None:
        self.failures = failures
        listed = "\n\n".join(failures)
        super().__init__(f"{name} fails {len(failures)} of {checks} checks.\n\n{listed}")


def checks_of(candidate: GatewayCandidate) -> tuple[Check, ...]:
    """Every check that applies to *candidate*, for ``pytest.mark.parametrize("check", checks_of(MINE), ids=str)``."""
    sitting = Sitting(candidate)
    return (
        *life_checks(sitting),
        *outcome_checks(sitting),
        *keeping_checks(sitting),
        *receipt_checks(sitting),
    )


async def examine_gateway(candidate: GatewayCandidate) -> tuple[str, ...]:
    """Run every check; the sentences that hold. Raises `ExamFailed` with all that do not. Takes some ten seconds."""
    failures: list[str] = []
    passed: list[str] = []
    checks = checks_of(candidate)
    for check in checks:
        try:
            await check.run()
        except CheckFailed as failure:
            failures.append(str(failure))
        else:
            passed.append(check.sentence)
    if failures:
        raise ExamFailed(candidate.name, tuple(failures), len(checks))
    return tuple(passed)
