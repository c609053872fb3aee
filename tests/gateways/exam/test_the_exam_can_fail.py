"""A gateway with one fault fails the checks that are about this fault, and no other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

import httpx
import msgspec
import pytest

from duly.errors import ReceiptRefused
from duly.gateways.smtp import SmtpGateway
from duly.messages.message import Effect
from duly.ports.gateway import Call, Incoming, LookUpAnswer, NotThere, Prepared, Receipt
from duly.states.attempt import Accepted, Fault, NotSent, Outcome, Unknown
from duly.states.policy import IdempotencyKey
from duly.testing.gateway_exam import CheckFailed, ExamFailed, GatewayCandidate, Seat, checks_of, examine_gateway
from tests.gateways.exam.candidates import SMTP
from tests.gateways.exam.courier import SECRET, Courier, Parcel, courier_candidate


async def failing(candidate: GatewayCandidate) -> dict[str, str]:
    """The sentences that do not hold, each with what the exam says."""
    failures = {}
    for check in checks_of(candidate):
        try:
            await check.run()
        except CheckFailed as failure:
            failures[check.sentence] = str(failure)
    return failures


class RepeatsByItself(Courier):
    async def post(self, call: Call) -> tuple[int, httpx.Headers, bytes]:
        answer = await super().post(call)
        return await super().post(call) if answer[0] == 503 else answer


class SaysNotSentAfterATimeout(Courier):
    def lost(self, error: Exception) -> Outcome:
        if isinstance(error, httpx.ReadTimeout | TimeoutError):
            return NotSent(reason="timed out", permanent=False, fault=Fault.PROVIDER)
        return super().lost(error)


class SaysNotSentWhenItIsCutOff(Courier):
    def lost(self, error: Exception) -> Outcome:
        if isinstance(error, httpx.RemoteProtocolError):
            return NotSent(reason="cut off", permanent=False, fault=Fault.PROVIDER)
        return super().lost(error)


class FollowsRedirects(Courier):
    follows = True


class RepeatsWhatTheProviderSays(Courier):
    def refuses_us(self, status: int, body: bytes) -> Outcome:
        return NotSent(reason=f"{status}: {body.decode()}", permanent=False, fault=Fault.GATEWAY)


class ShowsItsSecret(Courier):
    def __repr__(self) -> str:
        return f"ShowsItsSecret({self._secret})"


class RendersARandomNumber(Courier):
    def prepare(self, effect: Effect, effect_id: str) -> Prepared:
        prepared = super().prepare(effect, effect_id)
        return msgspec.structs.replace(prepared, body=prepared.body[:-1] + f', "nonce": "{uuid4()}"}}'.encode())


class Shuffles(Courier):
    """Renders in the order of a set, which is another one in each process."""

    def prepare(self, effect: Effect, effect_id: str) -> Prepared:
        assert isinstance(effect, Parcel)
        tags = list({"red", "green", "blue", "white", "black", "grey"})
        body = json.dumps({"ref": effect_id, "tags": tags, "to": effect.to}).encode()
        return Prepared(recipient=effect.to, summary="", content_type="application/json", body=body)


SHUFFLES = courier_candidate(Shuffles)


class HasNoLimit(Courier):
    def limit(self) -> None:
        return None


class LimitsEachReadOnly(Courier):
    async def call(self, call: Call) -> Outcome:
        if not self.live:
            return NotSent(reason="not live", permanent=True)
        try:
            return self.outcome(*await self.post(call))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return NotSent(reason=type(error).__name__, permanent=False, fault=Fault.PROVIDER)
        except httpx.HTTPError as error:
            return self.lost(error)


class ReadsWhateverComes(Courier):
    async def read(self, response: httpx.Response) -> bytes:
        return await response.aread()


class CallsAlthoughNotLive(Courier):
    async def call(self, call: Call) -> Outcome:
        was, self.live = self.live, True
        try:
            return await super().call(call)
        finally:
            self.live = was


class AcceptsWithoutAnId(Courier):
    def taken(self, body: bytes) -> Outcome:
        outcome = super().taken(body)
        return Accepted(provider_id="none") if body == b"{}" else outcome


class GivesUpWhenThePasswordIsRotated(Courier):
    def refuses_us(self, status: int, body: bytes) -> Outcome:
        return NotSent(reason=str(status), permanent=status == 401)


class HearsNoRetryAfter(Courier):
    def wait(self, text: str | None) -> None:
        return None


class MintsKeys(Courier):
    def key(self, call: Call) -> str:
        return str(uuid4())


class CountsOnItsKeyTooLong(Courier):
    def __init__(self, seat: Seat) -> None:
        super().__init__(seat)
        self.keeps = msgspec.structs.replace(self.keeps, key=IdempotencyKey(lifetime=timedelta(days=7)))


class TakesAnErrorForNotThere(Courier):
    def found(self, response: httpx.Response) -> LookUpAnswer:
        return NotThere() if response.status_code >= 500 else super().found(response)


class FindsNothing(Courier):
    def found(self, response: httpx.Response) -> LookUpAnswer:
        return NotThere() if response.status_code == 200 else super().found(response)


class LetsOneCallWaitForAnother(Courier):
    def __init__(self, seat: Seat) -> None:
        super().__init__(seat)
        self._lock = asyncio.Lock()

    async def post(self, call: Call) -> tuple[int, httpx.Headers, bytes]:
        async with self._lock:
            return await super().post(call)


class LeavesATask(Courier):
    tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        await super().open()
        self.tasks.add(asyncio.create_task(asyncio.sleep(3_600)))


class LeavesItsConnections(Courier):
    left: list[httpx.AsyncClient] = []

    async def close(self) -> None:
        if self._client is not None:
            self.left.append(self._client)
        self._client = None


class SwallowsCancellation(Courier):
    async def call(self, call: Call) -> Outcome:
        try:
            return await super().call(call)
        except asyncio.CancelledError:
            return Unknown(evidence="cancelled")


class CannotBeClosedTwice(Courier):
    async def close(self) -> None:
        assert self._client is not None
        await super().close()


class TakesUnsignedReceipts(Courier):
    def verify(self, incoming: Incoming) -> None:
        if incoming.header("x-signature") is not None:
            super().verify(incoming)


class ComparesHalfOfASignature(Courier):
    def verify(self, incoming: Incoming) -> None:
        time, given = incoming.header("x-time") or "", incoming.header("x-signature") or ""
        if given[:32] != self.expected(time, incoming.body)[:32]:
            raise ReceiptRefused("It is not signed by the couriers.")
        super().check_age(abs(incoming.received_at.timestamp() - float(time)))


class TakesOldReceipts(Courier):
    def check_age(self, seconds: float) -> None:
        pass


class StumblesOverNewKinds(Courier):
    def receipt(self, kind: str, number: int, parcel: str) -> Sequence[Receipt]:
        delivery = {"brought": "delivered", "refused": "undelivered"}[kind]
        return super().receipt(kind, number, parcel) if delivery else ()


class KnowsNoReceiptAgain(Courier):
    def dedupe(self, number: int) -> str:
        return str(uuid4())


class QuotesRefusedReceipts(Courier):
    def verify(self, incoming: Incoming) -> None:
        try:
            super().verify(incoming)
        except ReceiptRefused:
            raise ReceiptRefused(f"Not signed: {incoming.body.decode(errors='replace')}") from None


class ReadsDeliveriesWrong(Courier):
    def receipt(self, kind: str, number: int, parcel: str) -> Sequence[Receipt]:
        return super().receipt("brought" if kind == "refused" else kind, number, parcel)


RECEIPT_DEDUPE = "the same receipt has the same dedupe when it comes again, and another one has another"
FAULTS: list[tuple[type[Courier], set[str]]] = [
    (RepeatsByItself, {"one call is one request at most, whatever the provider does"}),
    (
        SaysNotSentAfterATimeout,
        {
            "when the provider takes it and hangs, the outcome is unknown",
            "when the provider takes it and trickles its answer, the outcome is unknown",
            "when the provider takes it and trickles the head of its answer, the outcome is unknown",
        },
    ),
    (
        SaysNotSentWhenItIsCutOff,
        {
            f"when the provider {mood}, the outcome is unknown"
            for mood in (
                "reads it, takes nothing and drops the connection",
                "takes it and drops the connection",
                "takes it and breaks off after the first bytes of its answer",
                "takes it and breaks off in the middle of its answer",
                "takes it and speaks another protocol",
            )
        },
    ),
    (FollowsRedirects, {"a redirect is not followed"}),
    (
        RepeatsWhatTheProviderSays,
        {"no secret, recipient or text is in outcomes, errors, logs or the gateway's own form"},
    ),
    (ShowsItsSecret, {"no secret, recipient or text is in outcomes, errors, logs or the gateway's own form"}),
    (RendersARandomNumber, {"the same effect is rendered to the same bytes, wherever and however often"}),
    (Shuffles, {"the same effect is rendered to the same bytes, wherever and however often"}),
    (HasNoLimit, {"a call ends within its call_timeout, even if the provider never does"}),
    (LimitsEachReadOnly, {"a call ends within its call_timeout, even if the provider never does"}),
    (ReadsWhateverComes, {"an answer of many megabytes is not read to its end"}),
    (CallsAlthoughNotLive, {"a gateway that is not live calls nobody"}),
    (AcceptsWithoutAnId, {"when the provider takes it and answers an empty object, the outcome is unknown"}),
    (
        GivesUpWhenThePasswordIsRotated,
        {
            f"when the provider answers {status}, the outcome is not sent, the gateway's fault"
            for status in ("401", "402", "403", "401 and repeats all that it read")
        },
    ),
    (
        HearsNoRetryAfter,
        {
            f"when the provider answers 429 with Retry-After {form}, the outcome is not sent, transient"
            for form in ("in seconds", "as a date")
        },
    ),
    (
        MintsKeys,
        {
            "every attempt at an effect has one key, and another effect has another",
            "a repeat under the same key is taken once and accepted under one id",
        },
    ),
    (CountsOnItsKeyTooLong, {"it counts on a key no longer than the provider remembers it"}),
    (TakesAnErrorForNotThere, {"a look-up that is not answered clearly is unclear"}),
    (FindsNothing, {"a look-up finds what was taken, under the provider's id"}),
    (
        LetsOneCallWaitForAnother,
        {"as many calls as it has slots are under way at once, each with its own answer"},
    ),
    (
        LeavesATask,
        {
            "after close nothing is left: no task, no connection",
            "a call that is cancelled stops at once and leaves nothing behind",
        },
    ),
    (LeavesItsConnections, {"after close nothing is left: no task, no connection"}),
    (SwallowsCancellation, {"a call that is cancelled stops at once and leaves nothing behind"}),
    (CannotBeClosedTwice, {"it can be opened and closed twice, and again"}),
    (TakesUnsignedReceipts, {"a receipt that is not signed, or signed with another secret, is refused"}),
    (ComparesHalfOfASignature, {"a receipt of which one byte was changed is refused"}),
    (TakesOldReceipts, {"a receipt that is replayed hours later is refused"}),
    (
        StumblesOverNewKinds,
        {"a report of an unknown kind, or one that cannot be read, raises nothing but ReceiptRefused"},
    ),
    (KnowsNoReceiptAgain, {RECEIPT_DEDUPE, "receipts are read alike in any order"}),
    (QuotesRefusedReceipts, {"what is said of a refused receipt shows neither the secret nor the body"}),
    (ReadsDeliveriesWrong, {"a genuine receipt is read, and says which effect it is about"}),
]


QUICK = {
    RepeatsByItself,
    SaysNotSentAfterATimeout,
    FollowsRedirects,
    ShowsItsSecret,
    TakesUnsignedReceipts,
    FindsNothing,
}
"""One of each kind runs every time; all of them take minutes, and run with the slow tests."""


async def test_a_gateway_without_a_fault_passes() -> None:
    assert await failing(courier_candidate()) == {}


@pytest.mark.parametrize(
    ("faulty", "sentences"),
    [
        pytest.param(faulty, sentences, id=faulty.__name__, marks=() if faulty in QUICK else pytest.mark.reliability)
        for faulty, sentences in FAULTS
    ],
)
async def test_a_planted_fault_fails_its_check_and_no_other(faulty: type[Courier], sentences: set[str]) -> None:
    failures = await failing(courier_candidate(faulty))
    for task in LeavesATask.tasks:
        task.cancel()
    for client in LeavesItsConnections.left:
        await client.aclose()
    LeavesATask.tasks.clear()
    LeavesItsConnections.left.clear()
    assert set(failures) == sentences, "\n\n".join(failures.values())
    assert all(SECRET not in said for said in failures.values()), "the exam itself shows a secret"


@pytest.mark.parametrize(
    ("was", "becomes", "at"),
    [
        (Unknown, NotSent(reason="lost", permanent=False, fault=Fault.PROVIDER), "the outcome is unknown"),
        (NotSent, Unknown(evidence="lost"), "the outcome is not sent"),
    ],
)
async def test_a_mail_gateway_that_is_wrong_about_the_dot_fails_at_the_dot(
    was: type[Outcome], becomes: Outcome, at: str
) -> None:
    class Wrong(SmtpGateway):
        async def call(self, call: Call) -> Outcome:
            outcome = await super().call(call)
            return becomes if isinstance(outcome, was) and self.live else outcome

    def make(seat: Seat) -> SmtpGateway:
        return Wrong(
            seat.host,
            seat.port,
            sender="orders@shop.example",
            live=seat.live,
            tls="none",
            session_timeout=seat.patience,
            dot_timeout=seat.patience,
        )

    candidate = msgspec.structs.replace(SMTP, make=make, importable="", patience=timedelta(seconds=0.5))
    failures = await failing(candidate)
    expected = {
        check.sentence for check in checks_of(candidate) if check.sentence.endswith(at) or f"{at}," in check.sentence
    }
    without_login = {sentence for sentence in expected if "AUTH" not in sentence}
    assert set(failures) == without_login


async def test_what_a_gateway_declares_and_has_not_is_found() -> None:
    candidate = courier_candidate()
    silent = msgspec.structs.replace(
        candidate, receipts=None, answers=msgspec.structs.replace(candidate.answers, key_header=None, look_up=None)
    )
    said = (await failing(silent))["it has what it declares in keeps"]
    for missing in ("key_header", "look_up", "receipts=ReceiptSender"):
        assert missing in said


async def test_a_gateway_that_declares_receipts_without_a_method_is_found() -> None:
    class Declares(Courier):
        receipts = None  # type: ignore[assignment]

    said = (await failing(courier_candidate(Declares)))["it has what it declares in keeps"]
    assert "there is no method receipts" in said


async def test_the_whole_exam_names_every_failure_what_was_seen_and_the_rule() -> None:
    with pytest.raises(ExamFailed, match="RepeatsByItself fails 1 of") as failure:
        await examine_gateway(courier_candidate(RepeatsByItself))
    said = str(failure.value)
    assert "2 requests in one call when the provider takes it and answers 503" in said
    assert "The rule: A gateway never repeats a call by itself" in said


async def test_the_whole_exam_returns_the_sentences_that_hold() -> None:
    passed = await examine_gateway(courier_candidate())
    assert "one call is one request at most, whatever the provider does" in passed
    assert len(passed) == len(checks_of(courier_candidate()))
