"""The one object that can talk to a provider."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from duly.messages.message import Effect
from duly.states.attempt import Outcome
from duly.states.retry import RetrySchedule


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A rendered request, frozen before the first attempt: the same effect always gives the same bytes.

    *summary* is what the tenant's view shows of it (a subject line, the beginning of a text).
    """

    recipient: str
    summary: str
    content_type: str
    body: bytes


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, as its gateway sees it. `key` is the same in every attempt of the effect."""

    effect_id: str
    key: str
    tenant: str
    number: int
    prepared: Prepared
    requested_at: datetime


class Gateway(Protocol):
    """Talks to one account at one provider.

    Architecture invariant: a gateway knows nothing of acts, stores or other gateways, and never repeats a call by
    itself.
    """

    @property
    def name(self) -> str:
        """Unique among an application's gateways; stored with each effect, so keep it."""

    @property
    def channel(self) -> str:
        """What the tenant's view calls it: ``sms``, ``email``, ``billing``, …"""

    @property
    def effects(self) -> tuple[type[Effect], ...]:
        """The types of effects it takes."""

    @property
    def live(self) -> bool:
        """Whether it may reach anybody. When False every effect is ``suppressed (not live)``."""

    @property
    def slots(self) -> int:
        """How many calls may be under way at once in one process."""

    @property
    def call_timeout(self) -> timedelta:
        """The longest that one call can take; the lease of an attempt is longer."""

    @property
    def retry(self) -> RetrySchedule:
        """When an effect that was definitely not sent is tried again."""

    def prepare(self, effect: Effect, effect_id: str) -> Prepared:
        """Render *effect*. Pure: the same input gives the same bytes. Raises `InvalidInput` naming the field."""

    async def open(self) -> None:
        """Make ready to call. Runs in the worker's event loop."""

    async def call(self, call: Call) -> Outcome:
        """Try once. Returns what is known; an exception counts as unknown."""

    async def close(self) -> None:
        """Let go of connections."""
