"""The outcome of one attempt to reach a provider: accepted, not sent, or unknown. There is no fourth."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import TypeAlias

import msgspec


class Fault(Enum):
    """Whose fault a refusal is."""

    MESSAGE = "message"
    """This message's: it is malformed, or its recipient is refused."""
    PROVIDER = "provider"
    """The provider's or the network's: it is down, slow or limits the rate."""
    GATEWAY = "gateway"
    """The gateway's own: wrong credentials, no credit. Other messages would fare no better."""


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The provider took it and gave `provider_id`."""

    provider_id: str
    evidence: str = ""


class NotSent(msgspec.Struct, frozen=True, kw_only=True):
    """It was definitely not sent. `retry_after` is the provider's own wish.

    *suppresses* takes the recipient off the channel from now on, for that reason: they have opted out over there.
    """

    reason: str
    permanent: bool
    fault: Fault = Fault.MESSAGE
    retry_after: timedelta | None = None
    suppresses: str = ""


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """It may have been sent; `evidence` says what was seen. `retry_after` is the provider's own wish, if it had one."""

    evidence: str
    retry_after: timedelta | None = None


Outcome: TypeAlias = Accepted | NotSent | Unknown


class Origin(Enum):
    """Who ordered an attempt."""

    SCHEDULED = "scheduled"
    """The schedule and the policy."""
    MANUAL = "manual"
    """A person, with a reason."""
    INSISTED = "insisted"
    """A person, with a reason, even if it arrives twice."""
