"""What a subscriber would do with messages, doing nothing.

Architecture invariant: what runs here reaches the store through `Forgetful` only, and that one commits nothing: not by
a flag that is looked at, but because it has no way to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, cast

import msgspec

from duly.messages.attachment import AttachmentRef, bytes_digest
from duly.messages.envelope import Envelope, Kind
from duly.ports.attachments import described, verified
from duly.ports.change import Change, Done, Exists, Intent, Taken, Verdict
from duly.ports.store import Committing, OpenTransaction

EXAMPLE_CHARACTERS_MAX: Final = 300

Counts = tuple[tuple[str, int], ...]
"""Names, and how many of each, the most frequent first."""


class EffectCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many effects of one type would be requested."""

    type: str
    new: int = 0
    known: int = 0
    """The ledger has them under the same keys: nothing would come of these requests."""
    differing: int = 0
    """As *known*, but with another body: the first request stands, and an anomaly would be written."""


class ErrorCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages would fail with one type of error."""

    error: str
    count: int
    example: str


class DryRun(msgspec.Struct, frozen=True, kw_only=True):
    """What would be done with the past, by type. Nothing of it was done."""

    subscriber: str
    tenant: str
    messages: int
    """How many messages were handed to the subscriber."""
    effects: tuple[EffectCount, ...] = ()
    events: Counts = ()
    """Domain events that would be recorded."""
    public_events: Counts = ()
    commands: Counts = ()
    """Commands that would be sent."""
    documents: Counts = ()
    """Aggregates that would be written, by type, once per message."""
    errors: tuple[ErrorCount, ...] = ()


class Forgetful:
    """A store to read from. What is committed to it is looked at, and forgotten."""

    def __init__(self, store: Committing) -> None:
        self._store = store
        self.changes: list[Change] = []
        """What would have been written."""

    @property
    def store(self) -> Committing:
        """Itself, as a unit of work sees it. All that `Committing` has beyond `Reading` is defined in this class."""
        return cast("Committing", self)

    async def commit(self, change: Change) -> Verdict:
        """Nothing; the verdict that a commit would get now, as far as reading tells."""
        self.changes.append(change)
        for write in change.documents:
            if not write.expected and await self._store.document(change.tenant, write.type, write.id) is not None:
                return Exists(write.type, write.id)
        for entry in change.entries_added:
            if entry.slot:
                continue
            owners = await self._store.documents_by(change.tenant, entry.type, entry.field, entry.value, 1)
            if any(owner.id != entry.id for owner in owners):
                return Taken(entry.type, entry.field, entry.value)
        return Done()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[OpenTransaction]:
        """A transaction, for a handler with SQL of its own, that can only be taken back."""
        async with self._store.begin() as transaction:
            yield cast("OpenTransaction", _TakenBack(transaction, self.changes))

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


class _TakenBack:
    """An open transaction that is never committed; whatever else is done in it goes with it."""

    def __init__(self, transaction: OpenTransaction, changes: list[Change]) -> None:
        self._transaction = transaction
        self._changes = changes

    async def write(self, change: Change) -> Verdict:
        """Write a part of the change, for what is read after it."""
        self._changes.append(change)
        return await self._transaction.write(change)

    async def commit(self) -> None:
        """Take back everything."""
        await self._transaction.rollback()

    def __getattr__(self, name: str) -> object:
        return getattr(self._transaction, name)


class ForgetfulAttachments:
    """Takes any attachment, says what it would be referred to by, and keeps nothing."""

    async def keep(self, tenant: str, subject: str, name: str, content_type: str, content: bytes) -> AttachmentRef:
        """A reference to nothing. Raises `InvalidField`, `PayloadTooLarge`."""
        return described(f"not-kept/{bytes_digest(content)}", name, content_type, content)

    async def read(self, tenant: str, attachment: AttachmentRef) -> bytes:
        """Raises `AttachmentLost`."""
        return verified(attachment, None)

    async def erase(self, tenant: str, subject: str) -> None:
        """Nothing."""

    async def forget(self, tenant: str, references: Sequence[str]) -> None:
        """Nothing."""


class Tally:
    """Counts what changes contain."""

    def __init__(self) -> None:
        self.messages = 0
        self.intents: list[Intent] = []
        """Those that the ledger was not asked about yet."""
        self._effects: dict[str, Counter[str]] = {}
        self._said: dict[Kind, Counter[str]] = {kind: Counter() for kind in Kind}
        self._documents: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def count(self, changes: Sequence[Change]) -> None:
        """What one message would write, in one part or, around SQL of the handler's own, in several."""
        for change in changes:
            for message in change.messages:
                self._said[message.kind][message.name] += 1
            self.intents += change.intents
        self._documents.update(kind for kind, _ in {(w.type, w.id) for change in changes for w in change.documents})

    def fail(self, envelope: Envelope, error: str, text: str) -> None:
        """One message would fail."""
        self._errors[error] += 1
        self._examples.setdefault(error, f"{envelope.name} {envelope.id}: {text}"[:EXAMPLE_CHARACTERS_MAX])

    def compare(self, digests: Mapping[str, str]) -> None:
        """What the ledger has of the `intents`, by id, with the digests of what was requested."""
        for intent in self.intents:
            known = digests.get(intent.id)
            # The reference of an attachment that was not kept is another one, and with it the digest.
            is_same = known == intent.digest or bool(intent.prepared.attachments)
            place = "new" if known is None else "known" if is_same else "differing"
            self._effects.setdefault(intent.type, Counter())[place] += 1
        self.intents = []

    def result(self, subscriber: str, tenant: str) -> DryRun:
        """All that was counted."""
        return DryRun(
            subscriber=subscriber,
            tenant=tenant,
            messages=self.messages,
            effects=tuple(EffectCount(type=name, **places) for name, places in sorted(self._effects.items())),
            events=counts(self._said[Kind.EVENT].items()),
            public_events=counts(self._said[Kind.PUBLIC].items()),
            commands=counts(self._said[Kind.COMMAND].items()),
            documents=counts(self._documents.items()),
            errors=tuple(
                ErrorCount(error=error, count=number, example=self._examples[error])
                for error, number in counts(self._errors.items())
            ),
        )


def counts(found: Iterable[tuple[str, int]]) -> Counts:
    """Names with their numbers, the most frequent first."""
    return tuple(sorted(found, key=lambda count: (-count[1], count[0])))
