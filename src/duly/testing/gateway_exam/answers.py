"""How a provider speaks: what a user says of it, from its own documentation, so that the exam can play it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One request that a provider read to its end. Header names are in lower case."""

    line: str
    """The request line of HTTP; the recipient of a mail; the line itself."""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    key: str | None = None

    def header(self, name: str) -> str | None:
        """The value of the first header *name* (lower case); None without one."""
        return next((value for header, value in self.headers if header == name), None)


class HttpReply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of HTTP."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def is_get(seen: Seen) -> bool:
    """Whether a request only asks."""
    return seen.line.startswith("GET ")


class HttpAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider answers over HTTP.

    *taken* makes the body of the answer to the n-th message that it took, counted from 1, with another id for each.
    *refusals* are its documented bodies by status. *look_up* answers a question about what it took; what is a question
    is said by *is_look_up*.
    """

    taken: Callable[[int], bytes]
    taken_status: int = 200
    refusals: Mapping[int, bytes] = {}
    key_header: str | None = "idempotency-key"
    """In lower case; None when it knows no keys."""
    key_reused: HttpReply = HttpReply(status=400)
    """Its answer to a key that came before with another body."""
    look_up: Callable[[Seen, Sequence[Seen]], HttpReply] | None = None
    """Its answer to a question, given all that it took, in order."""
    is_look_up: Callable[[Seen], bool] = is_get


class SmtpAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """How a mail server answers: without TLS, on loopback."""

    offers_login: bool = True
    taken: str = "250 2.0.0 OK queued as Q{number} for {recipient}"


class LineAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider answers over plain TCP: one line is a request, one line is an answer.

    *taken* makes the answer to the n-th message that it took, counted from 1, with another id for each. *refused* is
    its answer to a message that it will never take.
    """

    taken: Callable[[int], bytes]
    refused: bytes | None = None


Answers: TypeAlias = HttpAnswers | SmtpAnswers | LineAnswers
