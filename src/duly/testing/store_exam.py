"""What an exam of stores is made of: changes to commit, and what to look at afterwards.

duly's own keepers sit the exam in ``tests/contract``. Whoever writes another one copies those files, and gives them a
`Candidate` of his own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, Protocol
from uuid import uuid4

import msgspec

from duly.messages.envelope import Envelope, Kind, Link
from duly.messages.identity import BUCKETS, bucket_of
from duly.ports.change import Change, Delivered, DocumentWrite, Entry, InboxWrite, Intent, Promise
from duly.ports.gateway import Prepared
from duly.ports.ledger import Claim, Claimed, Ended, Turn
from duly.ports.store import Due, LaneKey, Look, Ownership, Store
from duly.states.effect import Dispatch, Settled, Terms
from duly.states.policy import Keeps, Policy
from duly.states.retry import RetrySchedule

TENANT: Final = "acme"
ORDER: Final = "shop.Order"
GATEWAY: Final = "sms"
LEASE: Final = timedelta(seconds=30)
DAY: Final = timedelta(days=1)

TABLES: Final = (
    "inbox",
    "document",
    "entry",
    "commit_log",
    "message",
    "personal",
    "outbox",
    "lane_hold",
    "parked",
    "later",
    "snapshot",
    "process_step",
    "projection",
    "read_model",
    "read_entry",
    "effect",
    "effect_content",
    "attempt",
    "late_id",
    "receipt",
    "suppression",
    "anomaly",
)
"""The tables that changes, and what follows from them, write to."""


class ExaminedStore(Store, Protocol):
    """A store whose clock a test can move."""

    def shift_clock(self, milliseconds: int) -> None:
        """Move the database's clock, as this store sees it."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A keeper that sits the exam, and its empty database."""

    name: str
    make: Callable[[], ExaminedStore]
    """A store on the database, not open yet; each call makes one more on the same database."""
    schema: str
    """What stands before the names of duly's tables in SQL."""
    is_shared: bool = True
    """Whether several stores can be open on the database."""

    def table(self, name: str) -> str:
        """The name of one of duly's tables in SQL."""
        return f"{self.schema}{name}"

    async def row_counts(self, store: Store) -> dict[str, int]:
        """How many rows there are in each of `TABLES`."""
        counts = ", ".join(f"(SELECT count(*) FROM {self.table(name)}) AS {name}" for name in TABLES)
        (row,) = await store.select(f"SELECT {counts}", {})
        return {name: int(str(row[name])) for name in TABLES}


# What a change is made of.


def change(**parts: Any) -> Change:
    """A change of one tenant, ``acme`` unless said."""
    return Change(**{"tenant": TENANT, **parts})


def command(command_id: str = "click-1", **parts: Any) -> InboxWrite:
    """The inbox row of a new execution of a command."""
    fields: dict[str, Any] = {"name": "shop.PlaceOrder", "digest": "d1", "result": '"o-1"', "keep": DAY}
    return InboxWrite(**{"id": command_id, "token": uuid4().hex, **fields, **parts})


def document(
    document_id: str = "o-1", expected: int = 0, body: str | None = "{}", type_name: str = ORDER
) -> DocumentWrite:
    """A document, a new one unless a version is expected; without a body it is removed."""
    return DocumentWrite(type=type_name, id=document_id, expected=expected, schema=1, body=body)


def unique(field: str, value: str, document_id: str) -> Entry:
    """A value that only one aggregate may have."""
    return Entry(ORDER, field, value, "", document_id)


def index(field: str, value: str, document_id: str) -> Entry:
    """A value that aggregates can be found by."""
    return Entry(ORDER, field, value, document_id, document_id)


def event(stream: str | None = "shop.Order/o-1", **parts: Any) -> Envelope:
    """A domain event with all its fields."""
    fields: dict[str, Any] = {
        "id": str(uuid4()),
        "tenant": TENANT,
        "kind": Kind.EVENT,
        "name": "shop.OrderPlaced",
        "version": 2,
        "body": '{"total":"12.50","note":"Grüße, 世界"}',
        "personal": '{"phone":"+491"}',
        "subject": "customer-7",
        "stream": stream,
        "stream_version": 1,
        "handler": "shop.place_order",
        "chain": (Link("command", "shop.PlaceOrder", str(uuid4()), ""),),
        "trace": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    return Envelope(**{**fields, **parts})


def said(*lanes: str, subscriber: int = 1, tenant: str = TENANT) -> Change:
    """A change that raises one event in each of the *lanes*, each promised to *subscriber*."""
    return change(
        tenant=tenant,
        messages=tuple(event(lane, tenant=tenant) for lane in lanes),
        events=len(lanes),
        promises=tuple(Promise(place, subscriber, lane, bucket_of(lane)) for place, lane in enumerate(lanes)),
    )


def intent(effect_id: str | None = None, **parts: Any) -> Intent:
    """The intent of an SMS."""
    effect_id = effect_id or str(uuid4())
    fields: dict[str, Any] = {
        "type": "duly.sms",
        "channel": "sms",
        "gateway": GATEWAY,
        "key": effect_id,
        "handler": "shop.text_customer",
        "policy": Policy.AT_MOST_ONCE,
        "correlation": "command-1",
        "recipient_hash": "h1",
        "chain": (Link("event", "shop.OrderPlaced", str(uuid4()), "shop.place_order"),),
        "subject": "customer-7",
        "digest": "e1",
        "prepared": Prepared(recipient="+491", summary="We have", content_type="text/plain", body=b"We have \x00\xff"),
        "trace": None,
    }
    return Intent(id=effect_id, **{**fields, **parts})


# What the relay and the sender do.


async def own_all(store: Store, owner: str = "worker-1", lease: timedelta = LEASE) -> Ownership:
    """Let one worker own what is free of the buckets."""
    return await store.own_buckets(owner, lease, let_go=())


async def due_rows(
    store: Store, subscribers: Sequence[int] = (1,), *, but_for: Sequence[LaneKey] = (), rows_max: int = 1_000
) -> list[Due]:
    """What is due in all buckets."""
    look = Look(buckets=range(BUCKETS), subscribers=subscribers, but_for_lanes=but_for, rows_max=rows_max)
    return list((await store.look(look)).rows)


def delivered(due: Due, tokens: Ownership) -> Delivered:
    """Completion of a delivery under the token of its bucket."""
    return Delivered(
        row=due.row,
        bucket=due.bucket,
        token=tokens.tokens[due.bucket],
        subscriber=due.subscriber,
        lane=due.lane,
        is_held=due.is_held,
    )


TERMS: Final = Terms(
    keeps=Keeps(), retry=RetrySchedule((DAY,)), hold=LEASE, wait_max=DAY, probe_wait=timedelta(seconds=30)
)


async def claim(
    store: Store,
    slots: int = 10,
    *,
    owner: str = "sender-1",
    lease: timedelta = LEASE,
    gateway: str = GATEWAY,
    **parts: Any,
) -> list[Claimed]:
    """Claim effects of a gateway."""
    fields: dict[str, Any] = {"terms": TERMS, "token": uuid4().hex, **parts}
    turned = await store.turn(Turn(claim=Claim(gateway=gateway, slots=slots, owner=owner, lease=lease, **fields)))
    return list(turned.claimed)


async def end_attempts(store: Store, ends: Sequence[Ended]) -> list[bool]:
    """Write outcomes down; which of them counted."""
    return list((await store.turn(Turn(ended=tuple(ends)))).written)


async def lose_attempts(store: Store, reason: str) -> list[str]:
    """Write down what was lost, under policies that permit no further step; the ids of the effects."""
    lost = await store.lose_attempts(reason, lambda gateway, standing: Settled(state=Dispatch.UNKNOWN, reason=reason))
    return list(lost.effect_ids)


def ended(claimed: Claimed, state: Dispatch, **parts: Any) -> Ended:
    """The end of an attempt."""
    settled = {name: parts.pop(name) for name in ("wait", "counts", "step", "alarm") if name in parts}
    fields: dict[str, Any] = {"outcome": state.value, "evidence": "seen", "provider_id": None}
    return Ended(
        effect_id=claimed.effect_id,
        tenant=claimed.tenant,
        number=claimed.number,
        token=claimed.token,
        settled=Settled(state=state, reason=parts.pop("reason", ""), **settled),
        **{**fields, **parts},
    )
