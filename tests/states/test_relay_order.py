"""The relay keeps each lane's order while buckets change hands and holds run out around its looks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, cast

from msgspec.structs import replace

from duly.delivery.delivery import Delivery, DeliveryStore, Fate, Kept, Lost
from duly.delivery.relay import Relay
from duly.messages.envelope import Envelope, Kind
from duly.ports.store import Due, Look, Mark, Ownership, Seen

Hook = Callable[[], Awaitable[None]]
LEASE = timedelta(milliseconds=30)


def due_row(row: int, lane: str, bucket: int = 0) -> Due:
    envelope = Envelope(id=f"m-{row}", tenant="acme", kind=Kind.EVENT, name="happened", version=1, body="")
    return Due(row=row, bucket=bucket, subscriber=1, lane=lane, envelope=envelope, attempts=0)


class Outbox:
    """An outbox in memory. `during_look` runs between the moment a look reads and the moment it returns."""

    def __init__(self, *rows: Due, buckets: Sequence[int] = (0,)) -> None:
        self.rows = {due.row: due for due in rows}
        self.tokens = {bucket: f"token-{bucket}" for bucket in buckets}
        self.share = 32
        self.holds: dict[str, bool] = {}
        """Lanes with a hold, and whether it is over."""
        self.during_look: dict[int, Hook] = {}
        self.looks = 0
        self.is_empty = asyncio.Event()
        self.renewals = 0
        self.renewed = asyncio.Condition()

    async def own_buckets(self, owner: str, lease: timedelta, *, let_go: Sequence[int]) -> Ownership:
        async with self.renewed:
            self.renewals += 1
            self.renewed.notify_all()
        return Ownership(dict(self.tokens), self.share)

    async def until_renewed(self) -> None:
        """Until the relay has asked for its buckets again, and has taken in the answer: it asks a second time."""
        async with self.renewed:
            seen = self.renewals
            await self.renewed.wait_for(lambda: self.renewals >= seen + 2)

    async def disown(self, owner: str) -> None: ...

    async def mark(self) -> Mark:
        return Mark(max(self.rows, default=0))

    async def look(self, look: Look) -> Seen:
        self.looks += 1
        over = [lane for lane, is_over in self.holds.items() if is_over]
        found = [
            replace(due, is_held=due.lane in self.holds)
            for row, due in sorted(self.rows.items())
            if row > look.after
            and due.bucket in look.buckets
            and (due.lane not in self.holds or (look.with_held and due.lane in over))
            and (due.subscriber, due.lane) not in look.but_for_lanes
            and row not in look.but_for_rows
        ]
        if hook := self.during_look.get(self.looks):
            await hook()
        is_cut = len(found) >= look.rows_max
        return Seen(
            rows=found[: look.rows_max],
            cut_at=found[look.rows_max - 1].row if is_cut else None,
            is_decided=True,
            server="",
            next_hold=timedelta() if over and not look.with_held else None,
        )


class Hands:
    """Handles rows, and remembers in which order. `before` runs before a row is handled."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.handled: list[int] = []
        self.before: dict[int, Hook] = {}

    async def deliver(self, due: Due, handler: object, token: str) -> Fate:
        if hook := self.before.pop(due.row, None):
            await hook()
        if self.outbox.tokens.get(due.bucket) != token:
            return Lost()
        del self.outbox.rows[due.row]
        if due.is_held:
            self.outbox.holds.pop(due.lane, None)
        self.handled.append(due.row)
        if not self.outbox.rows:
            self.outbox.is_empty.set()
        return Kept()


async def handled(outbox: Outbox, hands: Hands, rows_max: int) -> list[int]:
    """Let a relay run until the outbox is empty; the rows in the order in which they were handled."""
    relay = Relay(
        cast("DeliveryStore", outbox),
        cast("Delivery", hands),
        {1: cast("Any", None)},
        owner="worker-1",
        lease=LEASE,
        poll_interval=timedelta(milliseconds=5),
        deliveries_max=1,
        rows_max=rows_max,
    )
    running = asyncio.create_task(relay.run())
    async with asyncio.timeout(10):
        await outbox.is_empty.wait()
    relay.stop()
    await running
    return hands.handled


async def test_nothing_overtakes_a_head_whose_hold_runs_out_during_a_look() -> None:
    outbox = Outbox(due_row(1, "a"), due_row(2, "b"), due_row(3, "b"), due_row(4, "a"))
    outbox.holds["a"] = False

    async def hold_runs_out() -> None:
        outbox.holds["a"] = True

    outbox.during_look[1] = hold_runs_out
    order = await handled(outbox, Hands(outbox), rows_max=2)
    assert [row for row in order if row in (1, 4)] == [1, 4]


async def test_nothing_overtakes_a_head_whose_bucket_was_lost_and_taken_anew() -> None:
    outbox = Outbox(due_row(1, "a"), due_row(2, "a"))
    hands = Hands(outbox)

    async def lease_runs_out() -> None:
        outbox.tokens[0] = "token-anew"
        await outbox.until_renewed()

    hands.before[1] = lease_runs_out
    assert await handled(outbox, hands, rows_max=10) == [1, 2]


async def test_nothing_is_skipped_in_a_bucket_that_is_gained_during_a_look() -> None:
    others = [due_row(row, "b") for row in range(2, 6)]
    outbox = Outbox(due_row(1, "a", 1), *others, due_row(6, "a", 1), due_row(7, "c"))

    async def bucket_is_gained() -> None:
        outbox.tokens[1] = "token-1"
        await outbox.until_renewed()

    outbox.during_look[2] = bucket_is_gained
    order = await handled(outbox, Hands(outbox), rows_max=2)
    assert [row for row in order if row in (1, 6)] == [1, 6]


async def test_nothing_is_skipped_in_a_bucket_that_is_surplus_for_a_while() -> None:
    outbox = Outbox(due_row(1, "a", 1), due_row(2, "b"), due_row(3, "b"), due_row(4, "a", 1), buckets=(0, 1))
    outbox.share = 1
    hands = Hands(outbox)

    async def share_grows() -> None:
        outbox.share = 2
        await outbox.until_renewed()

    hands.before[2] = share_grows
    order = await handled(outbox, hands, rows_max=2)
    assert [row for row in order if row in (1, 4)] == [1, 4]
