"""One call of a gateway, from what was claimed to what is known afterwards. It never raises."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Final, TypeVar

import msgspec
from msgspec.structs import asdict, replace

from duly.effects.settings import EVIDENCE_CHARACTERS_MAX
from duly.errors import AttachmentLost
from duly.ports.attachments import AttachmentKeeper
from duly.ports.gateway import Call, Gateway, LooksUp, LookUpAnswer
from duly.ports.ledger import Claimed
from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.states.look_up import Found, NotThere, Unclear
from duly.telemetry import log

T = TypeVar("T", bound=msgspec.Struct)

PROVIDER_ID_CHARACTERS_MAX: Final = 500


async def read_files(keeper: AttachmentKeeper | None, claimed: Claimed) -> tuple[bytes, ...] | NotSent:
    """The bytes of an effect's attachments; why they are not there, otherwise."""
    attachments = claimed.prepared.attachments
    if not attachments:
        return ()
    if keeper is None:
        return NotSent(
            reason="never started: this worker has no keeper of attachments. Pass Duly(attachments=…) here, too.",
            permanent=False,
        )
    try:
        return tuple([await keeper.read(claimed.tenant, attachment) for attachment in attachments])
    except AttachmentLost as error:
        return NotSent(reason=str(error), permanent=True)
    except Exception as error:
        log(logging.ERROR, "attachments cannot be read", effect_id=claimed.effect_id, error=type(error).__name__)
        return never_started(f"its attachments cannot be read: {type(error).__name__}")


async def call_gateway(gateway: Gateway, claimed: Claimed, files: tuple[bytes, ...], limit: timedelta) -> Outcome:
    """Try once, within *limit*: a little longer than the gateway's own limit, which knows what it was waiting for."""
    try:
        async with asyncio.timeout(limit.total_seconds()):
            return _checked(await gateway.call(_call(claimed, files)))
    except TimeoutError:
        return Unknown(evidence=f"no answer within {limit.total_seconds():.1f} s")
    except asyncio.CancelledError:
        # Only at a stop whose time has run out; the call may have gone through.
        return Unknown(evidence="the worker was stopped during the call")
    except Exception as error:
        log(logging.ERROR, "a gateway raised", gateway=gateway.name, error=type(error).__name__)
        return Unknown(evidence=f"the gateway raised {type(error).__name__}")


async def ask_gateway(gateway: Gateway, claimed: Claimed, limit: timedelta, *, confirming: bool) -> LookUpAnswer:
    """Look an effect up once, within *limit*."""
    if not isinstance(gateway, LooksUp):
        return Unclear(evidence="the gateway has no look-up any more")
    try:
        async with asyncio.timeout(limit.total_seconds()):
            return _checked_answer(await gateway.look_up(_call(claimed, ()), confirming=confirming))
    except TimeoutError:
        return Unclear(evidence=f"no answer within {limit.total_seconds():.1f} s")
    except Exception as error:
        log(logging.ERROR, "a gateway raised in a look-up", gateway=gateway.name, error=type(error).__name__)
        return Unclear(evidence=f"the gateway raised {type(error).__name__}")


def _checked(outcome: object) -> Outcome:
    """An outcome of the right types and within bounds; of anything else nobody knows what it means."""
    match outcome:
        # What nearly every call comes to, without a copy.
        case Accepted(provider_id=str() as provider_id, evidence=str() as evidence) if (
            len(provider_id) <= PROVIDER_ID_CHARACTERS_MAX and len(evidence) <= EVIDENCE_CHARACTERS_MAX
        ):
            return outcome
        case Accepted() | NotSent() | Unknown():
            try:
                return _bounded(msgspec.convert(asdict(outcome), type(outcome)))
            except msgspec.ValidationError as error:
                return Unknown(evidence=f"the gateway answered with what is no outcome: {error}")
        case _:
            return Unknown(evidence=f"the gateway answered with what is no outcome: {type(outcome).__name__}")


def _checked_answer(answer: object) -> LookUpAnswer:
    """The same for what a look-up came to."""
    match answer:
        case Found() | NotThere() | Unclear():
            try:
                return _bounded(msgspec.convert(asdict(answer), type(answer)))
            except msgspec.ValidationError as error:
                return Unclear(evidence=f"the gateway answered with what is no answer: {error}")
        case _:
            return Unclear(evidence=f"the gateway answered with what is no answer: {type(answer).__name__}")


def _bounded(said: T) -> T:
    """With words that are cut where they are too long; the id so that it fits into an index."""
    limits = dict.fromkeys(("reason", "evidence", "suppresses"), EVIDENCE_CHARACTERS_MAX)
    limits["provider_id"] = PROVIDER_ID_CHARACTERS_MAX
    cut = {
        field: value[: limits[field]]
        for field, value in asdict(said).items()
        if field in limits and len(value) > limits[field]
    }
    return replace(said, **cut) if cut else said


def told(outcome: Outcome) -> tuple[str, str, str | None]:
    """An outcome as it is written down: its name, its evidence, the provider's id."""
    match outcome:
        case Accepted(provider_id=provider_id, evidence=evidence):
            return "accepted", evidence[:EVIDENCE_CHARACTERS_MAX], provider_id
        case NotSent(reason=reason):
            return "not sent", reason[:EVIDENCE_CHARACTERS_MAX], None
        case Unknown(evidence=evidence):
            return "unknown", evidence[:EVIDENCE_CHARACTERS_MAX], None


def told_answer(answer: LookUpAnswer) -> tuple[str, str, str | None]:
    """An answer to a look-up as it is written down."""
    match answer:
        case Found(provider_id=provider_id, evidence=evidence):
            return "found", evidence[:EVIDENCE_CHARACTERS_MAX], provider_id
        case NotThere(evidence=evidence):
            return "not there", evidence[:EVIDENCE_CHARACTERS_MAX], None
        case Unclear(evidence=evidence):
            return "unclear", evidence[:EVIDENCE_CHARACTERS_MAX], None


def never_started(reason: str) -> NotSent:
    """The outcome of an attempt whose call did not begin."""
    return NotSent(reason=f"never started: {reason}", permanent=False, fault=Fault.PROVIDER)


def _call(claimed: Claimed, files: tuple[bytes, ...]) -> Call:
    return Call(
        effect_id=claimed.effect_id,
        key=claimed.key,
        tenant=claimed.tenant,
        number=claimed.number,
        prepared=claimed.prepared,
        requested_at=claimed.requested_at,
        started_at=claimed.started_at,
        files=files,
    )
