"""Structured logging, and OpenTelemetry spans when its API is installed.

Log records carry their facts in ``extra`` under ``duly_*`` names; personal data is never among them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

try:
    from opentelemetry import context, propagate, trace
except ImportError:  # the extra `duly[telemetry]` is not installed
    _tracer = None
else:
    _tracer = trace.get_tracer("duly")

logger = logging.getLogger("duly")
_NO_SPAN: Final = nullcontext()


def log(level: int, text: str, **facts: object) -> None:
    """One log record of the logger ``duly``, its facts as ``duly_*`` attributes."""
    if logger.isEnabledFor(level):
        logger.log(level, text, extra={f"duly_{name}": value for name, value in facts.items()})


def current_trace() -> str | None:
    """The W3C ``traceparent`` of the current span, to be stored with a message; None without one."""
    if _tracer is None or not context.get_current():
        return None
    current = trace.get_current_span()
    if current is trace.INVALID_SPAN or not current.get_span_context().is_valid:
        return None
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent")


def listens() -> bool:
    """Whether anybody takes spans: without a provider, no-op spans would cost more than the rest of a small handler."""
    return _tracer is not None and not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def is_watched() -> bool:
    """Whether anybody takes spans or debug records."""
    return logger.isEnabledFor(logging.DEBUG) or listens()


def span(name: str, facts: Mapping[str, str], *, parent: str | None = None) -> AbstractContextManager[None]:
    """A span around one piece of work, continuing the stored *parent* trace when there is one."""
    return _recorded(name, facts, parent) if listens() else _NO_SPAN


@contextmanager
def _recorded(name: str, facts: Mapping[str, str], parent: str | None) -> Iterator[None]:
    assert _tracer is not None, "somebody listens"
    continued = propagate.extract({"traceparent": parent}) if parent else None
    # The text of an exception may quote what a person typed: only its type is told.
    with _tracer.start_as_current_span(
        name, context=continued, attributes=dict(facts), record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except BaseException as error:
            current.set_status(trace.StatusCode.ERROR, type(error).__name__)
            raise
