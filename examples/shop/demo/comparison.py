"""The ledger beside what the providers wrote down. Pure: both come in, what differs goes out."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from duly import Dispatch, EffectView
from examples.shop.sandbox.record import CHANNELS, Accepted, Channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something that one side has and the other has not, or has otherwise."""

    channel: Channel
    kind: str
    recipient: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """An effect whose outcome is unknown: what is known of it here, and whether the provider has it."""

    tenant: str
    channel: str
    recipient: str
    evidence: str
    is_there: bool


@dataclass(slots=True, kw_only=True)
class ChannelCounts:
    """One channel, counted on both sides."""

    taken_there: int = 0
    accepted_here: int = 0
    unknown_there: int = 0
    """Unknown here, and the provider has it."""
    unknown_not_there: int = 0
    failed_here: int = 0
    duplicates_there: int = 0


@dataclass(slots=True, kw_only=True)
class Comparison:
    """Both sides, channel by channel."""

    channels: dict[Channel, ChannelCounts] = field(default_factory=dict)
    unsettled: list[Unsettled] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)


def identity_here(effect: EffectView) -> str:
    """What an effect is known by at its provider. An SMS has no reference there: its text, made once, stands for it."""
    return f"{effect.recipient} {effect.summary}" if effect.channel == "sms" else effect.id


def identity_there(channel: Channel, record: Accepted) -> str:
    """What a provider's record says the effect is: from the Message-ID, the idempotency key, or recipient and text."""
    match channel:
        case "sms":
            return f"{record.recipient} {record.body}"
        case "email":
            return (record.reference or "").strip("<>").partition("@")[0]
        case "billing":
            return record.reference or ""


def taken_by(effects: Sequence[EffectView], records: Mapping[Channel, Sequence[Accepted]]) -> dict[str, list[Accepted]]:
    """The providers' records of each effect, by the effect's id."""
    by_identity: dict[tuple[str, str], list[Accepted]] = defaultdict(list)
    for channel in CHANNELS:
        for record in records[channel]:
            by_identity[channel, identity_there(channel, record)].append(record)
    return {effect.id: by_identity.get((effect.channel, identity_here(effect)), []) for effect in effects}


def compare(effects: Sequence[EffectView], records: Mapping[Channel, Sequence[Accepted]]) -> Comparison:
    """All effects of all tenants beside all that the providers have taken."""
    found = Comparison()
    taken = taken_by(effects, records)
    for channel in CHANNELS:
        counts = found.channels[channel] = ChannelCounts(taken_there=len(records[channel]))
        own = [effect for effect in effects if effect.channel == channel]
        for effect in own:
            _compare_one(found, channel, counts, effect, taken[effect.id])
        found.differences += _unaccounted(channel, own, records[channel])
    return found


def _compare_one(
    found: Comparison, channel: Channel, counts: ChannelCounts, effect: EffectView, there: Sequence[Accepted]
) -> None:
    def differs(kind: str, detail: str) -> None:
        found.differences.append(Difference(channel=channel, kind=kind, recipient=effect.recipient, detail=detail))

    if len(there) > 1:
        counts.duplicates_there += len(there) - 1
        differs("taken more than once there", f"{effect.summary} – {', '.join(record.provider_id for record in there)}")
    match effect.state:
        case Dispatch.ACCEPTED:
            counts.accepted_here += 1
            if not there:
                differs("accepted here, not taken there", effect.summary)
            elif effect.provider_id not in _names(channel, there):
                differs("accepted under another id", f"{effect.provider_id} here, {there[0].provider_id} there")
        case Dispatch.UNKNOWN:
            if there:
                counts.unknown_there += 1
            else:
                counts.unknown_not_there += 1
            if not effect.reason:
                differs("unknown without evidence", effect.summary)
            found.unsettled.append(
                Unsettled(
                    tenant=effect.tenant,
                    channel=channel,
                    recipient=effect.recipient,
                    evidence=effect.reason,
                    is_there=bool(there),
                )
            )
        case _:
            counts.failed_here += effect.state is Dispatch.FAILED
            if there:
                differs(f"taken there, {effect.state.value} here", effect.summary)


def _names(channel: Channel, there: Sequence[Accepted]) -> set[str | None]:
    """What the effect may call the provider's id: a mail is named by its Message-ID, not by the server's queue."""
    return {record.reference if channel == "email" else record.provider_id for record in there}


def _unaccounted(channel: Channel, own: Sequence[EffectView], records: Sequence[Accepted]) -> list[Difference]:
    """What the provider took without any effect, and effects that the provider could not tell apart."""
    known = Counter(identity_here(effect) for effect in own)
    strangers = [
        Difference(
            channel=channel, kind="taken there, not in the ledger", recipient=record.recipient, detail=record.body
        )
        for record in records
        if identity_there(channel, record) not in known
    ]
    twins = [
        Difference(
            channel=channel, kind="several effects for one message", recipient=effect.recipient, detail=effect.summary
        )
        for effect in own
        if known[identity_here(effect)] > 1
    ]
    return strangers + twins
