"""A gateway for tests: it remembers every call and answers as it was told."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, TypeAlias

from duly.errors import ConfigurationError
from duly.gateways.settings import NOT_LIVE, check_settings, one_line, wrong_effect
from duly.messages.codec import Codec
from duly.messages.message import Effect
from duly.ports.gateway import Call, Prepared
from duly.states.attempt import Accepted, Outcome
from duly.states.policy import Keeps
from duly.states.retry import EFFECT_RETRY, RetrySchedule

Answer: TypeAlias = Callable[[Call], Outcome | Awaitable[Outcome]]
"""Answers one call; it may be a coroutine function, and it may raise."""


NOTHING_KEPT: Final = Keeps()


class RecordingGateway:
    """Takes any effects. `calls` holds every call in the order in which they came in."""

    def __init__(
        self,
        *effect_types: type[Effect],
        name: str = "recording",
        channel: str = "recording",
        outcomes: Sequence[Outcome] | Answer = (),
        live: bool = True,
        slots: int = 10,
        call_timeout: timedelta = timedelta(seconds=5),
        retry: RetrySchedule = EFFECT_RETRY,
        keeps: Keeps = NOTHING_KEPT,
    ) -> None:
        """*outcomes* are given out one per call, in order; when they are spent, every further call is accepted."""
        check_settings("RecordingGateway", name, slots, call_timeout=call_timeout)
        if not effect_types:
            raise ConfigurationError(["RecordingGateway takes no effects. Name them: RecordingGateway(Sms, Email)."])
        self.name: Final = name
        self.channel: Final = channel
        self.effects: Final[tuple[type[Effect], ...]] = effect_types
        self.live: Final = live
        self.slots: Final = slots
        self.call_timeout: Final = call_timeout
        self.retry: Final = retry
        self.keeps: Final = keeps
        self.calls: Final[list[Call]] = []
        self._answer = outcomes if callable(outcomes) else None
        self._script = [] if callable(outcomes) else list(outcomes)

    def prepare(self, effect: Effect, effect_id: str) -> Prepared:
        """The effect as JSON; its recipient is its field ``to``, if it has one."""
        if type(effect) not in self.effects:
            raise wrong_effect(self.name, effect)
        shown = getattr(effect, "subject", None) or getattr(effect, "text", None) or effect.__duly__.name
        return Prepared(
            recipient=str(getattr(effect, "to", "")),
            summary=one_line(str(shown)),
            content_type="application/json",
            body=Codec(type(effect), effect.__duly__.name).encode_whole(effect),
        )

    async def open(self) -> None:
        """Nothing to do."""

    async def call(self, call: Call) -> Outcome:
        """Remember *call*, then answer."""
        if not self.live:
            return NOT_LIVE
        self.calls.append(call)
        if self._answer is not None:
            answered = self._answer(call)
            return await answered if inspect.isawaitable(answered) else answered
        if self._script:
            return self._script.pop(0)
        return Accepted(provider_id=f"{self.name}-{len(self.calls)}")

    async def close(self) -> None:
        """Nothing to do."""
