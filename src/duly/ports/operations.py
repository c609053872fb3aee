"""What people do to effects: orders, each with a name and a reason, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Final, Protocol, TypeAlias

import msgspec

from duly.ports.ledger_view import AuditRow, EffectFilter
from duly.states.effect import Dispatch
from duly.states.policy import Keeps

BULK_EFFECTS_MAX: Final = 10_000
"""How many effects one plan may count."""
EFFECTS_PER_BATCH_MAX: Final = 200
"""How many effects of a plan share a commit."""


class Verb(Enum):
    """What a person may do to an effect."""

    SETTLE = "settle"
    """Say of an unknown effect whether it was accepted."""
    RETRY = "retry"
    """Order one more attempt of the same effect, now; also against its policy."""
    RESEND = "resend"
    """Send what it held again, as a new effect that names the old one."""
    CANCEL = "cancel"
    """Withdraw what waits."""
    RELEASE = "release"
    """Let go of what is held."""


class Verdict(Enum):
    """What a person knows of an unknown effect."""

    ACCEPTED = "accepted"
    NOT_SENT = "not sent"


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One order of a person, for one effect or for many of one tenant."""

    tenant: str
    verb: Verb
    by: str
    reason: str
    verdict: Verdict | None = None
    """*settle*: what the person knows."""
    provider_id: str | None = None
    """*settle* as accepted: under which id the provider has it."""
    again: bool = False
    """*settle* as not sent: try it once more, rather than let it fail."""
    even_if_twice: bool = False
    """*retry*, *resend*: also where nothing stops a second one from arriving."""
    generation: int | None = None
    """*resend*: which one in the row of resends it is, counted from 1; None is the next one."""
    plan: str = ""
    """The token of the plan that it belongs to."""
    trace: str | None = None


class Aim(msgspec.Struct, frozen=True):
    """An effect that an operation is about; *moves* is how often it had moved when it was counted, if it was."""

    effect_id: str
    moves: int | None = None


class Operated(msgspec.Struct, frozen=True, kw_only=True):
    """An operation was carried out on one effect, and stands in the audit table."""

    effect_id: str
    before: Dispatch
    after: Dispatch
    possible_duplicate: bool = False
    """Whether it may arrive twice by this."""
    resent_as: str | None = None
    """*resend*: the id of the new effect."""
    generation: int = 0
    """*resend*: which one in the row of resends it is."""
    is_repeat: bool = False
    """*resend*: this generation had been made before; nothing was done now."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """An operation was not carried out on one effect, and nothing was written about it."""

    effect_id: str
    reason: str
    """What it is instead, and what can be done: the rest of a sentence that begins with the effect."""
    is_missing: bool = False
    """The tenant has no such effect."""


Result: TypeAlias = Operated | Refused


class OperationsWritten(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an operation, for each of its effects in their order."""

    results: tuple[Result, ...]
    has_promised: bool = False
    """Whether outcomes were promised to subscribers."""


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """An effect that a plan finds."""

    effect_id: str
    moves: int
    state: Dispatch
    type: str
    gateway: str
    requested_at: datetime


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A bulk operation, counted and not begun. It can be shown, stored, and carried out later, on exactly these."""

    tenant: str
    verb: Verb
    verdict: Verdict | None
    again: bool
    even_if_twice: bool
    effects: tuple[Aim, ...]
    """The effects, the oldest first."""
    by_state: tuple[tuple[str, int], ...]
    by_type: tuple[tuple[str, int], ...]
    by_gateway: tuple[tuple[str, int], ...]
    oldest: datetime | None
    """When the oldest of them was requested."""
    newest: datetime | None
    token: str
    """Names this plan; every audit row of it holds the token."""

    @property
    def count(self) -> int:
        """How many effects it is about."""
        return len(self.effects)


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a plan; while it is carried out, so far."""

    total: int
    operated: tuple[Operated, ...] = ()
    passed_over: tuple[Refused, ...] = ()
    """Effects that have moved since they were counted, or that it does not fit, and why."""


class OperationStore(Protocol):
    """What operators need of a store."""

    async def operate(self, operation: Operation, aims: Sequence[Aim], keeps: Mapping[str, Keeps]) -> OperationsWritten:
        """Carry *operation* out on each of *aims* that it fits, each with its audit row, all in one commit.

        *keeps* says by name what gateways can keep.
        """

    async def count_for(self, tenant: str, verb: Verb, wanted: EffectFilter, rows_max: int) -> list[Counted]:
        """A tenant's effects that match and that *verb* may fit, the oldest first."""

    async def audit(self, tenant: str, *, effect_id: str | None, rows_max: int) -> list[AuditRow]:
        """What people did in a tenant, or to one of its effects; the latest first."""
