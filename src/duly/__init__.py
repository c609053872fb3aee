"""duly: one command has consequences, and they are duly done.

Everything that an application needs is here; gateways are in `duly.gateways`, test kits in `duly.testing`.
"""

from duly.delivery.archiving import Archived
from duly.delivery.dry_run import DryRun, EffectCount, ErrorCount
from duly.delivery.housekeeping import Tidied
from duly.delivery.processes import TenantProcesses
from duly.delivery.projection_view import ProjectionState, ProjectionView
from duly.delivery.rebuild import RebuildPhase, RebuildProgress, Rebuilt
from duly.delivery.replay import Replay
from duly.domain.aggregate import Aggregate, Entity, Value
from duly.domain.event_sourced import EventSourced, applies
from duly.domain.process_manager import Next, ProcessManager, hears, hears_rejected, starts, times_out
from duly.domain.projection import Projection, ReadModel
from duly.domain.rule import Rule, check
from duly.effects.erasing import Erased
from duly.effects.operations import Operations
from duly.effects.receipts import ReceiptTaker
from duly.effects.retention import Swept
from duly.effects.suppressions import SuppressionList
from duly.effects.tenant_view import TenantLedger
from duly.errors import (
    AggregateExists,
    AggregateNotFound,
    BackfillUnfinished,
    CommandIdReused,
    ConcurrencyConflict,
    ConfigurationError,
    DulyError,
    EffectMoved,
    EffectNotFound,
    InvalidDecision,
    InvalidField,
    InvalidInput,
    InvalidMessage,
    InvalidTenant,
    NotQuiet,
    NotReached,
    ProcessNotFound,
    ReadModelNotFound,
    RebuildFailed,
    RebuildRefused,
    ReceiptRefused,
    RuleBroken,
    StoreError,
    TooManyFound,
    UniqueViolation,
    UnknownMessageType,
    UnrecordedChange,
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
from duly.messages.process_messages import CommandRejected, TimedOut
from duly.messages.standard_effects import Email, JsonValue, Sms, Webhook
from duly.messages.upcasting import Upcasted
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
from duly.ports.later import Waiting
from duly.ports.ledger import OpenBreaker
from duly.ports.ledger_view import Anomaly, AttemptView, AuditRow, EffectFilter, EffectPage, EffectView, LookUpView
from duly.ports.operations import Carried, Operated, Plan, Refused, Verb, Verdict
from duly.ports.processes import ProcessHistory, ProcessStepView, ProcessView
from duly.ports.receipts import ReceiptView
from duly.ports.replay import Backfill, Past, PastCount
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
from duly.states.log_retention import LogRetention
from duly.states.policy import IdempotencyKey, Keeps, LookUp, Policy, ReceiptWindow
from duly.states.retention import Retention
from duly.states.retry import RetrySchedule
from duly.transaction.tracking import Executed
from duly.work.attachments import Attachments
from duly.work.commands import Commands
from duly.work.context import Context, HandlerCall, Middleware, Proceed
from duly.work.effect_requests import Effects
from duly.work.event_log import EventLog, RecordedEvent
from duly.work.module import HandlerKind, Module
from duly.work.projecting import Logged, Origin
from duly.work.read_models import ReadModels
from duly.work.repository import Repository
from duly.work.sending import Sending
from duly.work.sql import Reader, Sql
from duly.work.tables import Tables
from duly.work.templates import Templates

__all__ = [
    "Accepted",
    "Aggregate",
    "AggregateExists",
    "AggregateNotFound",
    "Anomaly",
    "Archived",
    "AttachmentRef",
    "Attachments",
    "AttemptView",
    "AuditRow",
    "Backfill",
    "BackfillUnfinished",
    "BreakerTerms",
    "Call",
    "Carried",
    "Command",
    "CommandIdReused",
    "CommandRejected",
    "Commands",
    "ConcurrencyConflict",
    "ConfigurationError",
    "Context",
    "Delivery",
    "Dispatch",
    "DomainEvent",
    "DryRun",
    "Duly",
    "DulyError",
    "Effect",
    "EffectAccepted",
    "EffectCancelled",
    "EffectCount",
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
    "ErrorCount",
    "EventLog",
    "EventSourced",
    "Executed",
    "Fault",
    "Found",
    "Gateway",
    "HandlerCall",
    "HandlerKind",
    "IdempotencyKey",
    "Incoming",
    "Index",
    "InvalidDecision",
    "InvalidField",
    "InvalidInput",
    "InvalidMessage",
    "InvalidTenant",
    "JsonValue",
    "Keeps",
    "Link",
    "LogRetention",
    "Logged",
    "LookUp",
    "LookUpAnswer",
    "LookUpView",
    "LooksUp",
    "MailText",
    "Middleware",
    "Module",
    "Next",
    "NotQuiet",
    "NotReached",
    "NotSent",
    "NotThere",
    "OpenBreaker",
    "Operated",
    "Operations",
    "Origin",
    "Outcome",
    "Parked",
    "Past",
    "PastCount",
    "Pause",
    "Personal",
    "PhoneNumber",
    "Plan",
    "Policy",
    "Prepared",
    "Proceed",
    "ProcessHistory",
    "ProcessManager",
    "ProcessNotFound",
    "ProcessStepView",
    "ProcessView",
    "Projection",
    "ProjectionState",
    "ProjectionView",
    "PublicEvent",
    "Query",
    "Rate",
    "ReadModel",
    "ReadModelNotFound",
    "ReadModels",
    "Reader",
    "RebuildFailed",
    "RebuildPhase",
    "RebuildProgress",
    "RebuildRefused",
    "Rebuilt",
    "Receipt",
    "ReceiptRefused",
    "ReceiptTaker",
    "ReceiptView",
    "ReceiptWindow",
    "RecordedEvent",
    "Refused",
    "Replay",
    "Repository",
    "Retention",
    "RetrySchedule",
    "Rule",
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
    "Tables",
    "TakesReceipts",
    "Templates",
    "TenantLedger",
    "TenantProcesses",
    "Tidied",
    "TimedOut",
    "TooManyFound",
    "Unclear",
    "Unique",
    "UniqueViolation",
    "Unknown",
    "UnknownMessageType",
    "UnrecordedChange",
    "Upcasted",
    "Value",
    "Verb",
    "Verdict",
    "Waiting",
    "Webhook",
    "WebhookEndpoint",
    "WebhookEndpoints",
    "applies",
    "check",
    "hears",
    "hears_rejected",
    "parse_message",
    "starts",
    "times_out",
]
