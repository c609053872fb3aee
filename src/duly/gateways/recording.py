"""A gateway for tests: it remembers every call and answers as it was told."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, TypeAlias

from duly.errors import ConfigurationError, ReceiptRefused
from duly.gateways.settings import NOT_LIVE, check_settings, one_line, wrong_effect
from duly.messages.codec import Codec
from duly.messages.message import Effect
from duly.ports.gateway import Call, Incoming, LookUpAnswer, Prepared, Receipt, Unclear
from duly.states.attempt import Accepted, Outcome
from duly.states.policy import Keeps
from duly.states.retry import EFFECT_RETRY, RetrySchedule

Answer: TypeAlias = Callable[[Call], Outcome | Awaitable[Outcome]]
"""Answers one call; it may be a coroutine function, and it may raise."""
LookUpAnswers: TypeAlias = Callable[[Call, bool], LookUpAnswer | Awaitable[LookUpAnswer]]
"""Answers one look-up of a call, told whether it is a confirming one; it may be a coroutine function, and may raise."""
Reader: TypeAlias = Callable[[Incoming], Sequence[Receipt]]
"""Reads what came in, as a real gateway would; it may raise `ReceiptRefused`."""

NOTHING_KEPT: Final = Keeps()


class RecordingGateway:
    """Takes any effects. `calls` holds every call in the order in which they came in, `look_ups` every look-up."""

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
        look_up: Sequence[LookUpAnswer] | LookUpAnswers = (),
        receipts: Sequence[Receipt] | Reader = (),
    ) -> None:
        """*outcomes* are given out one per call, in order; when they are spent, every further call is accepted.

        *look_up* are given out one per look-up; when they are spent, it is unclear. *receipts* are given out one per
        request that comes in; when they are spent, it is refused. *keeps* is what the gateway says of itself.
        """
        check_settings("RecordingGateway", name, slots, call_timeout=call_timeout)
        if not effect_types:
            raise ConfigurationError(["RecordingGateway takes no effects. Name them: RecordingGateway(Sms, Email)."])
        self.name: Final = name
        self.channel: Final = channel
        self.effects: Final[tuple[type[Effect], ...]] = effect_types
        self._codecs: dict[type[Effect], Codec[Effect]] = {cls: Codec(cls, cls.__duly__.name) for cls in effect_types}
        self.live: Final = live
        self.slots: Final = slots
        self.call_timeout: Final = call_timeout
        self.retry: Final = retry
        self.keeps: Final = keeps
        self.calls: Final[list[Call]] = []
        self._answer = outcomes if callable(outcomes) else None
        self._script = [] if callable(outcomes) else list(outcomes)
        self.look_ups: Final[list[tuple[Call, bool]]] = []
        """Each look-up's call, and whether it was a confirming one."""
        self._look_up = look_up if callable(look_up) else None
        self._look_up_script = [] if callable(look_up) else list(look_up)
        self._read = receipts if callable(receipts) else None
        self._receipt_script = [] if callable(receipts) else list(receipts)

    def prepare(self, effect: Effect, effect_id: str) -> Prepared:
        """The effect as JSON; its recipient is its field ``to``, if it has one."""
        if type(effect) not in self._codecs:
            raise wrong_effect(self.name, effect)
        shown = getattr(effect, "subject", None) or getattr(effect, "text", None) or effect.__duly__.name
        return Prepared(
            recipient=str(getattr(effect, "to", "")),
            summary=one_line(str(shown)),
            content_type="application/json",
            body=self._codecs[type(effect)].encode_whole(effect).encode(),
            attachments=getattr(effect, "attachments", ()),
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

    async def look_up(self, call: Call, *, confirming: bool) -> LookUpAnswer:
        """Remember the look-up, then answer."""
        self.look_ups.append((call, confirming))
        if self._look_up is not None:
            answered = self._look_up(call, confirming)
            return await answered if inspect.isawaitable(answered) else answered
        return self._look_up_script.pop(0) if self._look_up_script else Unclear(evidence="nothing more is scripted")

    def receipts(self, incoming: Incoming) -> Sequence[Receipt]:
        """What was told for the next request. Raises `ReceiptRefused` when nothing was."""
        if self._read is not None:
            return self._read(incoming)
        if not self._receipt_script:
            raise ReceiptRefused(f"{self.name}: nothing more is scripted. Pass receipts=[…] or a function.")
        return (self._receipt_script.pop(0),)

    async def close(self) -> None:
        """Nothing to do."""
