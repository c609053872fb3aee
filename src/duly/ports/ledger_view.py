"""What a tenant sees of the ledger: its effects, filtered and by pages."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Protocol

import msgspec

from duly.errors import InvalidInput
from duly.messages.envelope import Link
from duly.ports.receipts import ReceiptView
from duly.states.attempt import Origin
from duly.states.delivery import Delivery
from duly.states.effect import Dispatch, Step
from duly.states.policy import Policy

PAGE_ROWS_MAX: Final = 1_000
"""How many effects one page may hold."""
ROWS_SCANNED_MAX: Final = 5_000
"""How many effects a page looks at, when no index leads to what is asked for. Then it may hold fewer than it could."""


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt as the tenant sees it; `outcome` is None while it is under way."""

    number: int
    origin: Origin
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    evidence: str
    provider_id: str | None
    possible_duplicate: bool = False
    """An earlier attempt may have gone through, and nothing stopped this one from being a second."""
    key: str = ""
    """The idempotency key that was sent, where the provider knows one."""
    digest: str = ""
    """Tells the bytes of this request from others."""


class LookUpView(msgspec.Struct, frozen=True, kw_only=True):
    """One question to the provider whether it has the effect, and what it said."""

    number: int
    step: Step
    asked_at: datetime
    answer: str
    evidence: str
    provider_id: str | None


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did, with name and reason."""

    effect_id: str | None
    verb: str
    by: str
    reason: str
    before: str | None
    """The effect's state before, and after."""
    after: str | None
    detail: str
    at: datetime


class EffectView(msgspec.Struct, frozen=True, kw_only=True):
    """One effect as the tenant sees it: state, attempts, times, and why it was sent.

    Recipient and summary read ``[erased]`` once they are gone.
    """

    id: str
    tenant: str
    type: str
    channel: str
    gateway: str
    policy: Policy = Policy.AT_MOST_ONCE
    recipient: str
    summary: str
    reference: str | None = None
    destination: str = ""
    urgent: bool = False
    state: Dispatch
    """What we know about handing it over."""
    reason: str
    delivery: Delivery | None = None
    """What was reported of it; None when nothing was."""
    delivery_at: datetime | None = None
    provider_id: str | None
    handler: str
    chain: tuple[Link, ...]
    """Its causes, from the first message on."""
    resend_of: str | None = None
    """The effect that this one sends again."""
    unsettled: int = 0
    """Attempts that may have gone through."""
    requested_at: datetime
    changed_at: datetime
    expires_at: datetime | None = None
    next_step: Step | None = None
    """What comes next by itself; None when nothing does, or it is under way."""
    next_step_at: datetime | None = None
    """When that may be done at the earliest."""
    next_attempt_at: datetime | None
    """When it is tried next, if it waits for that."""
    attempts: tuple[AttemptView, ...]
    look_ups: tuple[LookUpView, ...] = ()
    receipts: tuple[ReceiptView, ...] = ()
    """What the provider reported, in the order in which it came in."""
    audit: tuple[AuditRow, ...] = ()
    """What people did to it, the earliest first."""


class EffectFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which effects of a tenant: those that fit all of it. What is None, or empty, is left open."""

    channel: str | None = None
    states: tuple[Dispatch, ...] = ()
    """Any of these."""
    delivery: Delivery | None = None
    type: str | None = None
    """The stored name of a type of effect, such as ``duly.sms``."""
    gateway: str | None = None
    recipient: str | None = None
    """An address, letter by letter as the view shows it."""
    reference: str | None = None
    cause: str | None = None
    """Id of a message of its chain of causes, best of the first one. Another one is looked for effect by effect, and
    so is the name of a message."""
    requested_from: datetime | None = None
    """Not before this time."""
    requested_to: datetime | None = None
    """Before this time."""

    def check(self) -> None:
        """Refuse what is of another type than it should be: callers without a type checker pass anything.

        Raises `InvalidInput`.
        """
        for name in ("channel", "type", "gateway", "recipient", "reference", "cause"):
            _check(name, getattr(self, name), str, "a text")
        for name in ("requested_from", "requested_to"):
            moment = getattr(self, name)
            _check(name, moment, datetime, "a time")
            if moment is not None and moment.tzinfo is None:
                raise InvalidInput(f"{name}={moment} has no time zone. Use datetime(…, tzinfo=UTC) or another zone.")
        _check("delivery", self.delivery, Delivery, "one of Delivery")
        _check("states", self.states, tuple, "a tuple of Dispatch")
        for state in self.states:
            _check("states", state, Dispatch, "a tuple of Dispatch")


class Place(msgspec.Struct, frozen=True):
    """A place in the order of a tenant's effects, the latest first. It outlives the effect that was there."""

    requested_ms: int
    no: int


class EffectPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of effects, the latest first.

    With *next* there may be more: hand it to the next call. Such a page may hold fewer effects than were asked for,
    even none: each page looks at a bounded number of rows.
    """

    effects: tuple[EffectView, ...]
    next: str | None


class Anomaly(msgspec.Struct, frozen=True, kw_only=True):
    """Something that should not be, kept where people see it."""

    tenant: str
    kind: str
    about: str
    detail: str
    at: datetime


class ViewStore(Protocol):
    """What the tenant's view needs. Every method is about one tenant, and no other's rows are looked at."""

    async def effects(
        self, tenant: str, *, state: Dispatch | None, channel: str | None, after: str | None, rows_max: int
    ) -> list[EffectView]:
        """A tenant's effects, the latest first; *after* is the id of the last one of the page before."""

    async def page(
        self, tenant: str, wanted: EffectFilter, after: Place | None, rows_max: int
    ) -> tuple[list[EffectView], Place | None]:
        """A page of a tenant's effects, and where the next one goes on."""

    async def effect(self, tenant: str, effect_id: str) -> EffectView | None:
        """One effect of this tenant, or None."""

    async def anomalies(self, tenant: str, rows_max: int) -> list[Anomaly]:
        """A tenant's anomalies, the latest first."""


def _check(name: str, value: object, wanted: type, described: str) -> None:
    if value is not None and not isinstance(value, wanted):
        raise InvalidInput(f"{name}={value!r:.100} is not {described}.")
