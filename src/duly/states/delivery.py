"""The delivery of an effect: what the provider or the recipient *reported*. Only receipts and look-ups write it.

Rules
 1. Nothing is reported at first. Any report may be the first one: receipts come late, twice and out of order.
 2. A delivery moves forward only: a report that would move it back is kept and changes nothing.
 3. `deferred` and `sent` are on the way. `unconfirmed`: the window for reports has closed; a late report still counts.
 4. `delivered` may become `read`, or `bounced`: a mail server may take a mail and return it later.
 5. `read`, `undelivered`, `bounced`, `rejected` and `expired` are final.
 6. Opened, clicked, complained, unsubscribed, replied are facts beside the states, never states.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class Delivery(Enum):
    """What was reported of an effect."""

    SENT = "sent"
    """Handed on, to a carrier or another mail server."""
    DEFERRED = "deferred"
    """Not yet; it is being tried again over there."""
    DELIVERED = "delivered"
    READ = "read"
    UNDELIVERED = "undelivered"
    BOUNCED = "bounced"
    REJECTED = "rejected"
    EXPIRED = "expired"
    UNCONFIRMED = "unconfirmed"
    """No report came in time. That is not a failure."""


class Engagement(Enum):
    """What a recipient did: a fact, not a state."""

    OPENED = "opened"
    CLICKED = "clicked"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    REPLIED = "replied"


_D = Delivery
_ENDS: Final = frozenset({_D.DELIVERED, _D.READ, _D.UNDELIVERED, _D.BOUNCED, _D.REJECTED, _D.EXPIRED})

DELIVERY_MOVES: Final[dict[Delivery | None, frozenset[Delivery]]] = {
    None: frozenset(Delivery),
    _D.SENT: _ENDS | {_D.DEFERRED, _D.UNCONFIRMED},
    _D.DEFERRED: _ENDS | {_D.UNCONFIRMED},
    _D.UNCONFIRMED: _ENDS,
    _D.DELIVERED: frozenset({_D.READ, _D.BOUNCED}),
    _D.READ: frozenset(),
    _D.UNDELIVERED: frozenset(),
    _D.BOUNCED: frozenset(),
    _D.REJECTED: frozenset(),
    _D.EXPIRED: frozenset(),
}
"""Every legal move. What is not here is kept as a receipt and changes nothing."""

UNDELIVERABLE: Final = frozenset({_D.UNDELIVERED, _D.BOUNCED, _D.REJECTED, _D.EXPIRED})
"""It did not arrive, and will not."""


def moves_forward(present: Delivery | None, reported: Delivery) -> bool:
    """Whether a report changes the delivery."""
    return reported in DELIVERY_MOVES[present]
