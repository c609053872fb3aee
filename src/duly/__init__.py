"""duly: one command has consequences, and they are duly done.

Everything that an application needs is here; gateways are in `duly.gateways`, test kits in `duly.testing`.
"""

from duly.domain.aggregate import Aggregate, Entity, Value
from duly.effects.tenant_view import TenantLedger
from duly.errors import (
    AggregateExists,
    AggregateNotFound,
    CommandIdReused,
    ConcurrencyConflict,
    ConfigurationError,
    DulyError,
    InvalidField,
    InvalidInput,
    InvalidMessage,
    InvalidTenant,
    RuleBroken,
    StoreError,
    UniqueViolation,
)
from duly.messages.envelope import Link
from duly.messages.fields import EmailAddress, Index, Personal, PhoneNumber, Unique
from duly.messages.message import Command, DomainEvent, Effect, PublicEvent, Query
from duly.messages.parse import parse_message
from duly.messages.standard_effects import Email, Sms
from duly.ports.gateway import Gateway
from duly.ports.ledger import AttemptView, EffectView
from duly.runtime.application import Duly
from duly.runtime.settings import Settings
from duly.states.attempt import Accepted, NotSent, Outcome, Unknown
from duly.states.effect import Dispatch
from duly.states.retry import RetrySchedule
from duly.work.context import Context, HandlerCall, Middleware, Proceed
from duly.work.effect_requests import Effects
from duly.work.module import Module
from duly.work.repository import Repository
from duly.work.sql import Reader, Sql

__all__ = [
    "Accepted",
    "Aggregate",
    "AggregateExists",
    "AggregateNotFound",
    "AttemptView",
    "Command",
    "CommandIdReused",
    "ConcurrencyConflict",
    "ConfigurationError",
    "Context",
    "Dispatch",
    "DomainEvent",
    "Duly",
    "DulyError",
    "Effect",
    "EffectView",
    "Effects",
    "Email",
    "EmailAddress",
    "Entity",
    "Gateway",
    "HandlerCall",
    "Index",
    "InvalidField",
    "InvalidInput",
    "InvalidMessage",
    "InvalidTenant",
    "Link",
    "Middleware",
    "Module",
    "NotSent",
    "Outcome",
    "Personal",
    "PhoneNumber",
    "Proceed",
    "PublicEvent",
    "Query",
    "Reader",
    "Repository",
    "RetrySchedule",
    "RuleBroken",
    "Settings",
    "Sms",
    "Sql",
    "StoreError",
    "TenantLedger",
    "Unique",
    "UniqueViolation",
    "Unknown",
    "Value",
    "parse_message",
]
