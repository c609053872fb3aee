"""What the log and the traces tell, and what they never tell."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from duly import InvalidField, NotSent, RuleBroken
from duly.gateways.recording import RecordingGateway
from duly.messages.standard_effects import Email, Sms
from tests.scenarios.running import Start
from tests.scenarios.shop import PlaceOrder

_exporter = InMemorySpanExporter()


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Everything that is traced while the test runs. A process has one provider, set once."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(_exporter))
        trace.set_tracer_provider(provider)
    _exporter.clear()
    yield _exporter
    _exporter.clear()


async def test_one_trace_leads_from_the_command_through_the_outbox_to_the_call(
    start: Start, spans: InMemorySpanExporter
) -> None:
    shop = await start()
    await shop.app.execute(PlaceOrder(order_id="42"), tenant="acme")
    await shop.quiet()
    await shop.app.stop()
    finished: tuple[ReadableSpan, ...] = spans.get_finished_spans()
    names = {span.name for span in finished}
    assert {
        "execute PlaceOrder",
        "handle ordering.place_order",
        "handle payments.create_payment",
        "deliver OrderPlacedPublic to communications.text_customer",
        "attempt duly.sms",
        "attempt duly.email",
    } <= names
    assert len({span.context.trace_id for span in finished if span.context is not None}) == 1


async def test_neither_the_log_nor_a_trace_tells_whom_or_what(
    start: Start, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    refused = NotSent(reason="refused", permanent=True)
    shop = await start(gateways=[RecordingGateway(Sms, Email, outcomes=[refused, refused])])
    await shop.app.execute(PlaceOrder(order_id="42", phone="+4915199999999", email="canary@example.com"), tenant="acme")
    with pytest.raises(RuleBroken):
        await shop.app.execute(PlaceOrder(order_id="42", email="canary@example.com"), tenant="acme")
    with pytest.raises(InvalidField, match="canary"):
        await shop.app.execute(PlaceOrder(order_id="43", email="canary"), tenant="acme")
    await shop.quiet()
    await shop.app.stop()
    told = "".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    told += "".join(
        f"{span.name} {dict(span.attributes or {})} {span.events} {span.status.description}"
        for span in spans.get_finished_spans()
    )
    assert "duly_handler" in told
    for canary in ("99999999", "canary", "We have your order"):
        assert canary not in told
