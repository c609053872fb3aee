"""The gateway exam: a fake provider that misbehaves in every way that providers do, and what a gateway must make of it.

One line examines a gateway of your own::

    passed = await examine_gateway(
        GatewayCandidate(
            name="pager",
            make=lambda seat: PagerGateway(seat.url, token=seat.secret, live=seat.live, call_timeout=seat.patience),
            effect=Page(pager="ann", text="The cellar is wet."),
            answers=HttpAnswers(taken=lambda number: b'{"id": "p-%d"}' % number),
        )
    )

The provider is a real server on loopback. It counts what it took, per call and per key.
"""

from __future__ import annotations

from duly.testing.gateway_exam.answers import Answers, HttpAnswers, HttpReply, LineAnswers, Seen, SmtpAnswers
from duly.testing.gateway_exam.candidate import Differs, GatewayCandidate, ReceiptSender, Report, Seat
from duly.testing.gateway_exam.check import Check, CheckFailed
from duly.testing.gateway_exam.exam import ExamFailed, checks_of, examine_gateway
from duly.testing.gateway_exam.http_moods import HTTP_MOODS, documented
from duly.testing.gateway_exam.http_provider import HttpProvider
from duly.testing.gateway_exam.law import Rule, Verdict, verdict
from duly.testing.gateway_exam.line_provider import LineProvider
from duly.testing.gateway_exam.moods import STREAM_MOODS, Does, Mood, Phase
from duly.testing.gateway_exam.provider import FakeProvider, Tally
from duly.testing.gateway_exam.smtp_moods import SMTP_MOODS
from duly.testing.gateway_exam.smtp_provider import SmtpProvider

__all__ = [
    "HTTP_MOODS",
    "SMTP_MOODS",
    "STREAM_MOODS",
    "Answers",
    "Check",
    "CheckFailed",
    "Differs",
    "Does",
    "ExamFailed",
    "FakeProvider",
    "GatewayCandidate",
    "HttpAnswers",
    "HttpProvider",
    "HttpReply",
    "LineAnswers",
    "LineProvider",
    "Mood",
    "Phase",
    "ReceiptSender",
    "Report",
    "Rule",
    "Seat",
    "Seen",
    "SmtpAnswers",
    "SmtpProvider",
    "Tally",
    "Verdict",
    "checks_of",
    "documented",
    "examine_gateway",
    "verdict",
]
