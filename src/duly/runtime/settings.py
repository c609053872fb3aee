"""How an application works, with defaults that suit most."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from duly.states.breaker import BreakerTerms
from duly.states.retry import DELIVERY_RETRY, RetrySchedule


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All knobs. Every one has a safe default."""

    retry: RetrySchedule = DELIVERY_RETRY
    """When a failing subscriber is tried again; after the last attempt the message is parked."""
    inbox_keep: timedelta = timedelta(days=14)
    """How long a command id is remembered. Longer than every retry."""
    lease: timedelta = timedelta(seconds=15)
    """How long a worker that fell silent keeps its buckets."""
    poll_interval: timedelta = timedelta(milliseconds=100)
    """How often the outbox and the ledger are looked at without a wake-up."""
    wake_ups: bool = True
    """Whether processes wake one another's workers after a commit. Without, these find out by looking, at intervals:
    wake-ups may be lost, and nothing but the latency depends on them. On PostgreSQL each process has a connection for
    telling and each worker one for listening, beside `connections_max`."""
    sequencer_interval: timedelta = timedelta(milliseconds=20)
    """How often events get their positions at most, and how often commits of other processes are looked for. PostgreSQL
    only. A projection comes to know of an event that much later; an idle worker spends some 1 % of a core on it."""
    old_transaction_after: timedelta = timedelta(minutes=1)
    """How long a transaction of this database may stay open until a warning names it. PostgreSQL only."""
    deliveries_max: int = 32
    """How many subscribers run at once in one process."""
    rows_max: int = 1_000
    """How many outbox rows one process keeps in hand."""
    handler_time_max: timedelta = timedelta(minutes=5)
    """After this time an `after_commit` handler counts as failed."""
    unknown_type_wait: timedelta = timedelta(seconds=30)
    """How long a message waits whose type this code does not know."""
    attempt_margin: timedelta = timedelta(seconds=10)
    """How much longer the lease of an attempt is than its call may take: half to begin, half to write it down."""
    gateway_hold: timedelta = timedelta(minutes=1)
    """How long effects are held after a fault of the gateway's own, such as a wrong password."""
    replay_time_max: timedelta = timedelta(hours=1)
    """How long after its last attempt an operator may have an effect tried again under the same key."""
    breaker: BreakerTerms = BreakerTerms()
    """When a provider, or one of its destinations, is taken to be away, and how long it is left alone then."""
    sweep_interval: timedelta = timedelta(seconds=1)
    """How often the ledger is swept for what runs out by time."""
    retry_after_max: timedelta = timedelta(hours=1)
    """The longest wait that a provider may ask for."""
    retention_interval: timedelta = timedelta(hours=1)
    """How often a worker looks for what was kept long enough, by `Duly(retention=[…])`."""
    projection_events_max: int = 500
    """How many positions of the log a projection handles in one transaction."""
    projection_batch_time_max: timedelta = timedelta(seconds=1)
    """After this time a projection commits what it has handled so far."""
    drain_time_max: timedelta = timedelta(seconds=30)
    """How long a stopping worker lets begun work come to its end."""


def settings_mistakes(settings: Settings, effect_retries: dict[str, RetrySchedule]) -> list[str]:
    """What cannot be kept together, a sentence each."""
    mistakes: list[str] = []
    for field in settings.__struct_fields__:
        value = getattr(settings, field)
        if isinstance(value, timedelta) and value <= timedelta(0):
            mistakes.append(f"Settings.{field} is {value}; it must be longer than zero.")
        if isinstance(value, int) and not isinstance(value, bool) and value < 1:
            mistakes.append(f"Settings.{field} is {value}; it must be 1 or more.")
    for name, retry in {"Settings.retry": settings.retry, **effect_retries}.items():
        if retry.longest >= settings.inbox_keep:
            mistakes.append(
                f"Settings.inbox_keep ({settings.inbox_keep}) is not longer than {name} ({retry.longest}): a command "
                "id could be forgotten while its consequences are still tried. Make it longer."
            )
    return mistakes
