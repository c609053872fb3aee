"""A check of the exam: a sentence that holds, or fails with what was seen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import msgspec

from duly.testing.gateway_exam.candidate import GatewayCandidate
from duly.testing.gateway_exam.moods import Mood
from duly.testing.gateway_exam.observing import Observation, observe

FAULTS_SHOWN_MAX: Final = 8


class CheckFailed(AssertionError):
    """A gateway does not keep what the sentence of a check says."""


class Sitting:
    """One candidate's exam; each mood is observed once, for all checks that look at it."""

    def __init__(self, candidate: GatewayCandidate) -> None:
        self.candidate = candidate
        self._observed: dict[str, Observation] = {}

    async def observe(self, mood: Mood) -> Observation:
        """One call in *mood*."""
        if mood.name not in self._observed:
            # Those that only the gateway's time limit ends are waited for together.
            moods = [one for one in self.candidate.moods if one.is_endless] if mood.is_endless else [mood]
            for observed in await observe(self.candidate, *moods):
                self._observed[observed.mood.name] = observed
        return self._observed[mood.name]

    async def observe_all(self) -> list[Observation]:
        """One call in each mood."""
        return [await self.observe(mood) for mood in self.candidate.moods]


FindFaults: TypeAlias = Callable[[Sitting], Awaitable[list[str]]]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence, and how to find out. *find_faults* gives what was seen against it, a sentence each."""

    sentence: str
    rule: str
    sitting: Sitting
    find_faults: FindFaults

    async def run(self) -> None:
        """Raise `CheckFailed` if the sentence does not hold."""
        if faults := await self.find_faults(self.sitting):
            seen = "\n".join(f"  - {fault:.500}" for fault in faults[:FAULTS_SHOWN_MAX])
            if len(faults) > FAULTS_SHOWN_MAX:
                seen += f"\n  and {len(faults) - FAULTS_SHOWN_MAX} more"
            raise CheckFailed(
                f"{self.sitting.candidate.name} fails: {self.sentence}.\nSeen:\n{seen}\nThe rule: {self.rule}"
            )

    def __str__(self) -> str:
        return self.sentence
