"""duly: one command has consequences, and they are duly done.

Everything that an application needs is here; gateways are in `duly.gateways`, test kits in `duly.testing`.
"""

from duly.domain.aggregate import Aggregate, Entity, Value
from duly.effects.erasing import Erased
from duly.effects.operations import Operations
from duly.effects.receipts import ReceiptTaker
from duly.effects.retention import Swept
from duly.effects.suppressions import SuppressionList
from duly.effects.tenant_view import TenantLedger
from duly.errors import (
    AggregateExists,
    AggregateNotFound,
    CommandIdReused,
    ConcurrencyConflict,
    ConfigurationError,
    DulyError,
    EffectMoved,
    EffectNotFound,
    InvalidField,
    InvalidInput,
    InvalidMessage,
    InvalidTenant,
    NotQuiet,
    ReceiptRefused,
    RuleBroken,
    StoreError,
    TooManyFound,
    UniqueViolation,
)
from duly.messages.envelope import Link
from duly.messages.fields import EmailAddress, Index, Personal, PhoneNumber, Unique
from duly.messages.message import Command, DomainEvent, Effect, PublicEvent, Query
from duly.messages.outcomes import (
    EffectAccepted,
    EffectCancelled,
    EffectDelivered,
    EffectEngaged,
    EffectExpired,
    EffectFailed,
    EffectHeld,
    EffectOutcome,
    EffectOutcomeUnknown,
    EffectRead,
    EffectSuppressed,
    EffectUnconfirmed,
    EffectUndelivered,
)
from duly.messages.parse import parse_message
from duly.messages.standard_effects import Email, JsonValue, Sms, Webhook
from duly.ports.endpoints import WebhookEndpoint, WebhookEndpoints
from duly.ports.gateway import (
    AttachmentRef,
    Call,
    Found,
    Gateway,
    Incoming,
    LooksUp,
    LookUpAnswer,
    NotThere,
    Prepared,
    Receipt,
    TakesReceipts,
    Unclear,
)
from duly.ports.keeping import Pause, Suppression
from duly.ports.ledger import OpenBreaker
from duly.ports.ledger_view import Anomaly, AttemptView, AuditRow, EffectFilter, EffectPage, EffectView, LookUpView
from duly.ports.operations import Carried, Operated, Plan, Refused, Verb, Verdict
from duly.ports.receipts import ReceiptView
from duly.ports.secret import Secret
from duly.ports.store import Parked
from duly.ports.templates import MailText
from duly.runtime.application import Duly
from duly.runtime.settings import Settings
from duly.states.allowance import Rate
from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.states.breaker import BreakerTerms
from duly.states.delivery import Delivery, Engagement
from duly.states.effect import Dispatch
from duly.states.policy import IdempotencyKey, Keeps, LookUp, Policy, ReceiptWindow
from duly.states.retention import Retention
from duly.states.retry import RetrySchedule
from duly.work.attachments import Attachments
from duly.work.context import Context, HandlerCall, Middleware, Proceed
from duly.work.effect_requests import Effects
from duly.work.module import HandlerKind, Module
from duly.work.repository import Repository
from duly.work.sending import Sending
from duly.work.sql import Reader, Sql
from duly.work.templates import Templates

__all__ = [
    "Accepted",
    "Aggregate",
    "AggregateExists",
    "AggregateNotFound",
    "Anomaly",
    "AttachmentRef",
    "Attachments",
    "AttemptView",
    "AuditRow",
    "BreakerTerms",
    "Call",
    "Carried",
    "Command",
    "CommandIdReused",
    "ConcurrencyConflict",
    "ConfigurationError",
    "Context",
    "Delivery",
    "Dispatch",
    "DomainEvent",
    "Duly",
    "DulyError",
    "Effect",
    "EffectAccepted",
    "EffectCancelled",
    "EffectDelivered",
    "EffectEngaged",
    "EffectExpired",
    "EffectFailed",
    "EffectFilter",
    "EffectHeld",
    "EffectMoved",
    "EffectNotFound",
    "EffectOutcome",
    "EffectOutcomeUnknown",
    "EffectPage",
    "EffectRead",
    "EffectSuppressed",
    "EffectUnconfirmed",
    "EffectUndelivered",
    "EffectView",
    "Effects",
    "Email",
    "EmailAddress",
    "Engagement",
    "Entity",
    "Erased",
    "Fault",
    "Found",
    "Gateway",
    "HandlerCall",
    "HandlerKind",
    "IdempotencyKey",
    "Incoming",
    "Index",
    "InvalidField",
    "InvalidInput",
    "InvalidMessage",
    "InvalidTenant",
    "JsonValue",
    "Keeps",
    "Link",
    "LookUp",
    "LookUpAnswer",
    "LookUpView",
    "LooksUp",
    "MailText",
    "Middleware",
    "Module",
    "NotQuiet",
    "NotSent",
    "NotThere",
    "OpenBreaker",
    "Operated",
    "Operations",
    "Outcome",
    "Parked",
    "Pause",
    "Personal",
    "PhoneNumber",
    "Plan",
    "Policy",
    "Prepared",
    "Proceed",
    "PublicEvent",
    "Query",
    "Rate",
    "Reader",
    "Receipt",
    "ReceiptRefused",
    "ReceiptTaker",
    "ReceiptView",
    "ReceiptWindow",
    "Refused",
    "Repository",
    "Retention",
    "RetrySchedule",
    "RuleBroken",
    "Secret",
    "Sending",
    "Settings",
    "Sms",
    "Sql",
    "StoreError",
    "Suppression",
    "SuppressionList",
    "Swept",
    "TakesReceipts",
    "Templates",
    "TenantLedger",
    "TooManyFound",
    "Unclear",
    "Unique",
    "UniqueViolation",
    "Unknown",
    "Value",
    "Verb",
    "Verdict",
    "Webhook",
    "WebhookEndpoint",
    "WebhookEndpoints",
    "parse_message",
]
