"""Checks of receipts: doubled, reordered, forged, mutated, replayed, of an unknown kind. Reading one is pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from duly.errors import ReceiptRefused
from duly.ports.gateway import Incoming, Receipt, TakesReceipts
from duly.testing.gateway_exam.candidate import EFFECT_ID, ReceiptSender, Report
from duly.testing.gateway_exam.check import Check, FindFaults, Sitting

PROVIDER_ID: Final = "duly-exam-message-1"
REPLAYED_AFTER: Final = timedelta(hours=2)
_GARBAGE: Final = (
    b"",
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"0",
    b"{}",
    b"\xff\xfe",
    b"[" * 20_000,
    b'{"type": 1, "data": []}',
)
_HEADERS_OF_HTTP: Final = frozenset({"content-type", "content-length", "host", "user-agent", "accept"})


def receipt_checks(sitting: Sitting) -> Iterator[Check]:
    """For candidates that say how their provider reports."""
    table: list[tuple[str, str, Callable[[Receipts], list[str]]]] = [
        (
            "a genuine receipt is read, and says which effect it is about",
            "A receipt names its effect by provider_id, or by effect_id from a token that we have signed.",
            _misread,
        ),
        (
            "a receipt that is not signed, or signed with another secret, is refused",
            "Verify what the provider signs before anything else: a forged receipt changes nothing.",
            _forgery_accepted,
        ),
        (
            "a receipt of which one byte was changed is refused",
            "The signature is over the raw body, and over all else that the provider signs.",
            _mutation_accepted,
        ),
        (
            "the same receipt has the same dedupe when it comes again, and another one has another",
            "Receipts come twice; dedupe is how the second is known.",
            _dedupe_fails,
        ),
        (
            "receipts are read alike in any order",
            "Reading is pure. States move forward only; that is the ledger's to see to.",
            _order_matters,
        ),
        (
            "a report of an unknown kind, or one that cannot be read, raises nothing but ReceiptRefused",
            "A provider may add kinds on any day; what it signed may still be garbage.",
            _stumbles,
        ),
        (
            "what is said of a refused receipt shows neither the secret nor the body",
            "ReceiptRefused is logged.",
            _refusal_shows,
        ),
    ]
    sender = sitting.candidate.receipts
    if sender is None:
        return
    if sender.is_timed:
        table.append(
            (
                "a receipt that is replayed hours later is refused",
                "Where the provider signs the time, five minutes of window are enough.",
                _replay_accepted,
            )
        )
    for sentence, rule, find in table:
        yield Check(sentence=sentence, rule=rule, sitting=sitting, find_faults=_examined(sender, find))


class Receipts:
    """A gateway that reads what a sender posts."""

    def __init__(self, gateway: TakesReceipts, sender: ReceiptSender, secret: str) -> None:
        self.gateway, self.sender, self.secret = gateway, sender, secret

    def post(self, kind: str, number: int = 1, *, at: datetime | None = None) -> Incoming:
        """A genuine report."""
        report = _report(kind, number)
        return self.sender.sign(report, self.sender.body(report), at or datetime.now(UTC))

    def post_signed(self, body: bytes) -> Incoming:
        """Any *body*, with a genuine signature."""
        return self.sender.sign(_report(self.sender.kinds[0][0], 1), body, datetime.now(UTC))

    @property
    def first(self) -> Incoming:
        """A genuine report of the first kind."""
        return self.post(self.sender.kinds[0][0])

    def read(self, incoming: Incoming) -> Sequence[Receipt] | Exception:
        """What the gateway makes of it."""
        try:
            return self.gateway.receipts(incoming)
        except Exception as error:
            return error

    def not_refused(self, what: str, incoming: Incoming) -> list[str]:
        """The fault, if it is read."""
        found = self.read(incoming)
        return [] if isinstance(found, ReceiptRefused) else [f"{what}: {found!r}"]


def _report(kind: str, number: int) -> Report:
    return Report(kind=kind, provider_id=PROVIDER_ID, effect_id=EFFECT_ID, number=number)


def _examined(sender: ReceiptSender, find: Callable[[Receipts], list[str]]) -> FindFaults:
    async def find_faults(sitting: Sitting) -> list[str]:
        gateway = sitting.candidate.make(sitting.candidate.seat_nowhere())
        if not isinstance(gateway, TakesReceipts):
            return ["the gateway has no method receipts"]
        return find(Receipts(gateway, sender, sitting.candidate.secret))

    return find_faults


def _misread(it: Receipts) -> list[str]:
    faults = []
    for number, (kind, meaning) in enumerate(it.sender.kinds):
        found = it.read(it.post(kind, number))
        if isinstance(found, Exception) or not found:
            faults.append(f"{kind}: {found!r}")
            continue
        if not any(meaning in (receipt.delivery, receipt.engagement) for receipt in found):
            faults.append(f"{kind} is read as {[(one.delivery, one.engagement) for one in found]}, not as {meaning}")
        if not all(receipt.provider_id == PROVIDER_ID or receipt.effect_id == EFFECT_ID for receipt in found):
            faults.append(f"{kind} names {[(one.provider_id, one.effect_id) for one in found]}")
        if not all(receipt.dedupe for receipt in found):
            faults.append(f"{kind} has no dedupe")
    return faults


def _signed_headers(incoming: Incoming) -> list[str]:
    return [name for name, _ in incoming.headers if name not in _HEADERS_OF_HTTP]


def _forgery_accepted(it: Receipts) -> list[str]:
    genuine = it.first
    faults = []
    for name in _signed_headers(genuine):
        left = tuple(header for header in genuine.headers if header[0] != name)
        faults += it.not_refused(f"without {name}", msgspec.structs.replace(genuine, headers=left))
        for value in ("", "x", "v1,", "AAAA", "v1,AAAA"):
            changed = tuple((header, value if header == name else was) for header, was in genuine.headers)
            faults += it.not_refused(f"with {name}: {value!r}", msgspec.structs.replace(genuine, headers=changed))
    faults += it.not_refused("without headers", msgspec.structs.replace(genuine, headers=()))
    return faults


def _mutation_accepted(it: Receipts) -> list[str]:
    genuine = it.first
    faults = []
    step = max(1, len(genuine.body) // 40)
    for at in range(0, len(genuine.body), step):
        body = genuine.body[:at] + bytes([genuine.body[at] ^ 1]) + genuine.body[at + 1 :]
        faults += it.not_refused(f"byte {at} of the body was changed", msgspec.structs.replace(genuine, body=body))
    faults += it.not_refused("the body was cut", msgspec.structs.replace(genuine, body=genuine.body[:-1]))
    for name in _signed_headers(genuine):
        value = genuine.header(name) or ""
        middle = len(value) // 2
        other = value[:middle] + ("A" if value[middle : middle + 1] != "A" else "B") + value[middle + 1 :]
        changed = tuple((header, other if header == name else was) for header, was in genuine.headers)
        faults += it.not_refused(f"{name} was changed", msgspec.structs.replace(genuine, headers=changed))
    return faults


def _replay_accepted(it: Receipts) -> list[str]:
    now = datetime.now(UTC)
    kind = it.sender.kinds[0][0]
    old, early = (
        msgspec.structs.replace(it.post(kind, at=at), received_at=now)
        for at in (now - REPLAYED_AFTER, now + REPLAYED_AFTER)
    )
    return it.not_refused("signed two hours ago", old) + it.not_refused("signed two hours ahead", early)


def _dedupe_fails(it: Receipts) -> list[str]:
    now = datetime.now(UTC)
    kind = it.sender.kinds[0][0]
    once, again = it.read(it.post(kind, 1, at=now)), it.read(it.post(kind, 1, at=now + timedelta(seconds=30)))
    other_kinds = [it.read(it.post(name, number + 2)) for number, (name, _) in enumerate(it.sender.kinds[1:])]
    if isinstance(once, Exception) or isinstance(again, Exception):
        return [f"{once!r}, then {again!r}"]
    faults = []
    if [one.dedupe for one in once] != [one.dedupe for one in again]:
        faults.append(f"sent again, it has {[one.dedupe for one in again]} instead of {[one.dedupe for one in once]}")
    known = {one.dedupe for one in once}
    return faults + [
        f"another report has the same dedupe: {[one.dedupe for one in found]}"
        for found in other_kinds
        if not isinstance(found, Exception) and known & {one.dedupe for one in found}
    ]


def _order_matters(it: Receipts) -> list[str]:
    now = datetime.now(UTC)
    posts = [it.post(kind, number, at=now) for number, (kind, _) in enumerate(it.sender.kinds)]
    forwards = [it.read(post) for post in posts]
    backwards = [it.read(post) for post in reversed(posts)][::-1]
    return [
        f"{kind}: {one!r}, and in another order {other!r}"
        for (kind, _), one, other in zip(it.sender.kinds, forwards, backwards, strict=True)
        if repr(one) != repr(other)
    ]


def _stumbles(it: Receipts) -> list[str]:
    odd = [("a new kind", it.post("duly-exam.new-kind")), ("an empty kind", it.post(""))]
    odd += [(f"the body {body[:24]!r}, signed", it.post_signed(body)) for body in _GARBAGE]
    odd.append(("a body that is not signed and no text", msgspec.structs.replace(it.first, body=b"\xff\x00")))
    faults = []
    for what, incoming in odd:
        found = it.read(incoming)
        if isinstance(found, Exception) and not isinstance(found, ReceiptRefused):
            faults.append(f"{what} raises {type(found).__name__}: {found}")
    return faults


def _refusal_shows(it: Receipts) -> list[str]:
    genuine = it.first
    refused = [
        it.read(msgspec.structs.replace(genuine, headers=())),
        it.read(msgspec.structs.replace(genuine, body=genuine.body + b" ")),
        it.read(it.post_signed(b'{"type": 1, "to": "duly-exam-canary@example.com"}')),
    ]
    said = " ".join(str(one) for one in refused if isinstance(one, Exception))
    body = genuine.body.decode(errors="replace")
    return [
        f"{what} is in what it says: {said!r}"
        for what, text in (("the secret", it.secret), ("the body", body), ("an address", "duly-exam-canary"))
        if text and text in said
    ]
