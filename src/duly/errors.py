"""Every error that duly raises, in one tree.

Each message says what happened, what was seen and what to do. All of them derive from `DulyError`.
"""

from __future__ import annotations

from collections.abc import Sequence


class DulyError(Exception):
    """Root of duly's errors."""


class ConfigurationError(DulyError):
    """The application cannot start; `mistakes` lists everything that was found, each with its cure."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes: tuple[str, ...] = tuple(mistakes)
        lines = "\n".join(f"  {number}. {text}" for number, text in enumerate(self.mistakes, start=1))
        count = "1 mistake" if len(self.mistakes) == 1 else f"{len(self.mistakes)} mistakes"
        super().__init__(f"The application cannot start, {count} found:\n{lines}")


# What comes in at the door.


class InvalidInput(DulyError):
    """Something handed to duly is not acceptable; nothing was stored."""


class InvalidTenant(InvalidInput):
    """The tenant is missing or malformed."""


class InvalidCommandId(InvalidInput):
    """The command id is malformed."""


class InvalidMessage(InvalidInput):
    """A message has missing, unknown or malformed fields, or cannot be stored as JSON."""


class InvalidField(InvalidMessage):
    """One field of a message is malformed; `field` names it."""

    def __init__(self, field: str, text: str) -> None:
        self.field = field
        super().__init__(text)


class PayloadTooLarge(InvalidMessage):
    """An encoded message, document or request is above its limit in bytes."""


class InvalidTemplate(InvalidInput):
    """A template is missing, lacks a value, or does what a tenant's template may not."""


class AttachmentLost(DulyError):
    """The bytes of an attachment are not with their keeper, or are not those that were kept."""


class InvalidDecision(InvalidInput):
    """A process manager decided something that cannot be done: an unknown timeout, no `Next`, another's state."""


class UnknownCommand(InvalidInput):
    """No module handles this command or query."""


class UnknownMessageType(DulyError):
    """A stored message has a type name that this application does not know."""


class UpcastFailed(DulyError):
    """An upcaster raised: what is stored cannot be read until it is corrected."""


class EffectNotFound(InvalidInput):
    """This tenant has no effect with this id; whether another has is not said."""


class ProcessNotFound(InvalidInput):
    """This tenant has no process of this name under this id."""


class NoGateway(InvalidInput):
    """No gateway takes this type of effect."""


class ReceiptRefused(InvalidInput):
    """What came in at a receipt route is not signed by its provider, is too old, or cannot be read."""


class EffectMoved(InvalidInput):
    """An operation does not fit the effect's present state."""


class RebuildRefused(DulyError):
    """A projection cannot be rebuilt as things are; nothing was begun, and what is read is as it was."""


class RebuildFailed(DulyError):
    """A handler failed at an event of the past. What is read is as it was; the shadow stays where it came to."""


class BackfillUnfinished(InvalidInput):
    """A subscriber has another backfill under way in this tenant; nothing was begun."""


class CommandIdReused(InvalidInput):
    """A command id came again with another command or body."""


# Rules of the domain and of the unit of work.


class TooManyFound(DulyError):
    """A look-up by an index matches more aggregates than the limit."""


class RuleBroken(DulyError):
    """A business rule refuses the command. Raise it, or derive from it, in aggregates and handlers.

    A rejected command stores nothing and is not remembered: it may be sent again under the same id.
    *rule* is the `Rule` that `check` found broken: ``match error.rule: case CreditLimit(limit=limit): …``; None where
    there is only a text.
    """

    rule: object = None

    def __init__(self, *text: object, rule: object = None) -> None:
        super().__init__(*text)
        self.rule = rule


class AggregateNotFound(DulyError):
    """No aggregate of this type has this id in this tenant."""


class ReadModelNotFound(DulyError):
    """No document of this read model has this id, as far as its projection has come."""


class AggregateExists(DulyError):
    """An aggregate with this id was added, but one exists already."""


class UniqueViolation(DulyError):
    """A `Unique` field's value, or a reservation, is taken already."""

    def __init__(self, type_name: str, field: str, value: str, text: str) -> None:
        self.type_name = type_name
        self.field = field
        self.value = value
        super().__init__(text)


class ConcurrencyConflict(DulyError):
    """What was read had been changed by somebody else at every one of the bounded retries."""


class CascadeTooDeep(DulyError):
    """Events raised events beyond the limit; the chain is in the message."""


class TooManyMessages(DulyError):
    """One command raised more messages than the limit."""


class UnrecordedChange(DulyError):
    """The state of an event-sourced aggregate would change without an event, and be lost. Nothing was stored."""


class ReadOnlyUse(DulyError):
    """A query tried to change something."""


class ScopeClosed(DulyError):
    """A repository, `Effects` or `Sql` was used after its handler had ended."""


# Stores.


class StoreError(DulyError):
    """Root of the errors of stores."""


class StoreUrlInvalid(StoreError):
    """The store URL makes no sense, or its driver is not installed."""


class StoreUnavailable(StoreError):
    """The database cannot be reached, or the connection was lost; the text says what is known of the commit."""


class StoreReadOnly(StoreError):
    """The database or its file system does not accept writes."""


class StoreFull(StoreError):
    """The database has no room left."""


class StoreBusy(StoreError):
    """A lock was not granted within its time limit."""


class SchemaMissing(StoreError):
    """The database has no duly schema yet."""


class SchemaOutdated(StoreError):
    """The database has an older schema than the code."""


class SchemaTooNew(StoreError):
    """The database has a newer schema than the code."""


class UserSqlError(StoreError):
    """A statement of the user's own failed in the database."""


class TransactionVoid(StoreError):
    """The promise that this transaction would have kept was kept, or taken over, by somebody else."""


class NotReached(DulyError):
    """A projection had not seen what was waited for when the time limit of `wait_until` ran out."""


class NotQuiet(DulyError):
    """There was still work to do when the time limit of `until_quiet` ran out."""
