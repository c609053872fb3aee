"""Who sits the exam: a gateway, what its provider is like, and how its provider signs."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from duly.messages.message import Effect
from duly.ports.gateway import Call, Gateway, Incoming
from duly.states.delivery import Delivery, Engagement
from duly.testing.gateway_exam.answers import Answers, HttpAnswers, LineAnswers, SmtpAnswers
from duly.testing.gateway_exam.http_moods import HTTP_MOODS, IN_PROGRESS
from duly.testing.gateway_exam.http_provider import HttpProvider
from duly.testing.gateway_exam.law import Verdict
from duly.testing.gateway_exam.line_provider import LineProvider
from duly.testing.gateway_exam.moods import REFUSES_THE_MESSAGE, STREAM_MOODS, Mood
from duly.testing.gateway_exam.provider import FakeProvider
from duly.testing.gateway_exam.smtp_moods import SMTP_MOODS
from duly.testing.gateway_exam.smtp_provider import SmtpProvider

EFFECT_ID: Final = "8a7e1b5c-0000-4000-8000-000000000001"
REQUESTED_AT: Final = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
_LARGE_LINES: Final = 400_000


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate's gateway is made with."""

    host: str
    port: int
    url: str
    """``http://127.0.0.1:PORT``, to be used in place of the provider's."""
    live: bool
    secret: str
    """To be used as password, token or API key: nothing that can be read afterwards may show it."""
    patience: timedelta
    """To be used as time limit: short where the provider never answers, so that the exam is short too."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider has to say of an effect."""

    kind: str
    """One of `ReceiptSender.kinds`, or a word that this provider does not know yet."""
    provider_id: str
    effect_id: str
    number: int
    """Of the report: another report has another one, the same report sent again the same."""


class ReceiptSender(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider reports.

    *body* renders what it posts, as its documentation shows it. *sign* makes the request of a body, signed under
    `Seat.secret` at that time, which is also the one at which it comes in; the report tells what is not in the body,
    such as an id that goes in a header.
    """

    body: Callable[[Report], bytes]
    sign: Callable[[Report, bytes, datetime], Incoming]
    kinds: tuple[tuple[str, Delivery | Engagement], ...]
    """The provider's words, and what they mean."""
    is_timed: bool = True
    """Whether the provider signs the time; then a report that is hours old is refused."""


class Differs(msgspec.Struct, frozen=True, kw_only=True):
    """A promise of the provider's own, which allows other outcomes than the law does."""

    verdicts: tuple[Verdict, ...]
    because: str
    """What the provider promises, and where."""
    statuses: tuple[int, ...] = ()
    """Every mood with one of these statuses."""
    moods: tuple[str, ...] = ()
    """Moods by name, as failures call them."""


def nothing_more(body: bytes) -> bytes:
    """A request that is large already, or whose protocol has no use for a large one."""
    return body


def with_many_lines(body: bytes) -> bytes:
    """A mail with thirty megabytes of text more."""
    return body + b"\r\n" + (b"x" * 76 + b"\r\n") * _LARGE_LINES


class GatewayCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway that sits the exam.

    *make* makes it anew, for one seat; *effect* is what it is to send; *answers* says how its provider speaks.
    """

    name: str
    make: Callable[[Seat], Gateway]
    effect: Effect
    answers: Answers
    private: tuple[str, ...] = ()
    """What of *effect* nobody may read in reasons, evidence or logs, beside the recipient: its text, for one."""
    documented: tuple[Mood, ...] = ()
    """More moods: answers that only this provider gives."""
    differs: tuple[Differs, ...] = ()
    """Promises of this provider."""
    key_lifetime: timedelta | None = None
    """How long the provider remembers keys, by its documentation."""
    receipts: ReceiptSender | None = None
    files: tuple[bytes, ...] = ()
    """The bytes of the effect's attachments, in order."""
    secret: str = "hush-duly-exam-secret"
    """For `Seat.secret`, if the gateway refuses this one for its form."""
    tls: ssl.SSLContext | None = None
    """What the provider presents, if the gateway refuses to speak without TLS."""
    patience: timedelta = timedelta(seconds=1.5)
    """`Seat.patience` where the provider never answers. Shorter makes the exam shorter, and flaky on a busy machine."""
    importable: str = ""
    """Where another process finds this value: ``"tests.test_pager:PAGER"``. Then it renders there, too."""

    @property
    def moods(self) -> tuple[Mood, ...]:
        """Every mood that this candidate's provider may be in."""
        match self.answers:
            case HttpAnswers():
                keyed = (IN_PROGRESS,) if self.declares_key else ()
                return (*HTTP_MOODS, *keyed, *self.documented)
            case SmtpAnswers():
                return (*SMTP_MOODS, *self.documented)
            case LineAnswers(refused=refused):
                return (*STREAM_MOODS, *(() if refused is None else (REFUSES_THE_MESSAGE,)), *self.documented)

    @property
    def declares_key(self) -> bool:
        """Whether the gateway says that it keeps an idempotency key."""
        return self.make(self.seat_nowhere()).keeps.key is not None

    def verdicts_in(self, mood: Mood) -> tuple[tuple[Verdict, ...], str]:
        """The outcomes that are right in *mood*, and why."""
        for differs in self.differs:
            if mood.name in differs.moods or mood.status in differs.statuses:
                return differs.verdicts, differs.because
        return mood.verdicts, mood.rule.value

    def provider(self, mood: Mood, *, key_lifetime: timedelta | None = None) -> FakeProvider:
        """A provider of this candidate's kind, in *mood*."""
        match self.answers:
            case HttpAnswers() as answers:
                return HttpProvider(answers, mood, tls=self.tls, key_lifetime=key_lifetime)
            case SmtpAnswers() as answers:
                return SmtpProvider(answers, mood)
            case LineAnswers() as answers:
                return LineProvider(answers, mood)

    def seat(self, provider: FakeProvider, *, live: bool = True, patience: timedelta) -> Seat:
        """The seat at *provider*."""
        return Seat(
            host=provider.host,
            port=provider.port,
            url=provider.url,
            live=live,
            secret=self.secret,
            patience=patience,
        )

    def seat_nowhere(self) -> Seat:
        """A seat for what needs no provider: nobody can be reached from it."""
        scheme = {HttpAnswers: "https" if self.tls else "http", SmtpAnswers: "smtp", LineAnswers: "tcp"}
        url = f"{scheme[type(self.answers)]}://127.0.0.1:1"
        return Seat(host="127.0.0.1", port=1, url=url, live=True, secret=self.secret, patience=timedelta(seconds=10))

    def call(self, gateway: Gateway, *, number: int = 1, effect_id: str = EFFECT_ID, is_large: bool = False) -> Call:
        """Attempt *number* at the effect, as the sender would make it."""
        prepared = gateway.prepare(self.effect, effect_id)
        if is_large:
            enlarged = with_many_lines if isinstance(self.answers, SmtpAnswers) else nothing_more
            prepared = msgspec.structs.replace(prepared, body=enlarged(prepared.body))
        return Call(
            effect_id=effect_id,
            key=f"key-{effect_id}",
            tenant="main",
            number=number,
            prepared=prepared,
            requested_at=REQUESTED_AT,
            started_at=datetime.now(UTC),
            files=self.files,
        )


def attempts(call: Call, number: int) -> list[Call]:
    """The first *number* attempts at an effect: rendered once, called several times."""
    return [msgspec.structs.replace(call, number=one) for one in range(1, number + 1)]
