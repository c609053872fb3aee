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
    EffectNotFound,
    InvalidField,
    InvalidInput,
    InvalidMessage,
    InvalidTenant,
    NotQuiet,
    RuleBroken,
    StoreError,
    TooManyFound,
    UniqueViolation,
)
from duly.messages.envelope import Link
from duly.messages.fields import EmailAddress, Index, Personal, PhoneNumber, Unique
from duly.messages.message import Command, DomainEvent, Effect, PublicEvent, Query
from duly.messages.parse import parse_message
from duly.messages.standard_effects import Email, Sms
from duly.ports.gateway import Call, Gateway, Prepared
from duly.ports.ledger import Anomaly, AttemptView, EffectView
from duly.ports.store import Parked
from duly.runtime.application import Duly
from duly.runtime.settings import Settings
from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.states.effect import Dispatch
from duly.states.retry import RetrySchedule
from duly.work.context import Context, HandlerCall, Middleware, Proceed
from duly.work.effect_requests import Effects
from duly.work.module import HandlerKind, Module
from duly.work.repository import Repository
from duly.work.sql import Reader, Sql

__all__ = [
    "Accepted",
    "Aggregate",
    "AggregateExists",
    "AggregateNotFound",
    "Anomaly",
    "AttemptView",
    "Call",
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
    "EffectNotFound",
    "EffectView",
    "Effects",
    "Email",
    "EmailAddress",
    "Entity",
    "Fault",
    "Gateway",
    "HandlerCall",
    "HandlerKind",
    "Index",
    "InvalidField",
    "InvalidInput",
    "InvalidMessage",
    "InvalidTenant",
    "Link",
    "Middleware",
    "Module",
    "NotQuiet",
    "NotSent",
    "Outcome",
    "Parked",
    "Personal",
    "PhoneNumber",
    "Prepared",
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
    "TooManyFound",
    "Unique",
    "UniqueViolation",
    "Unknown",
    "Value",
    "parse_message",
]
