"""Reports of a JSON provider that signs them after Standard Webhooks: which field says what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from duly.errors import ConfigurationError, ReceiptRefused
from duly.gateways.http_messages import field_at, json_document, provider_id, time_of
from duly.gateways.settings import one_line
from duly.gateways.webhook_verifying import SignedReports
from duly.ports.gateway import Incoming, Receipt
from duly.ports.secret import Secret
from duly.states.delivery import Delivery, Engagement
from duly.states.policy import ReceiptWindow


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class JsonReceipts:
    """How a provider's reports are verified and read. Without a repr of its own: it holds secrets.

    *webhook_secrets* are ``whsec_…``; any of them verifies. *kind_field* is where a report says what happened, and
    *deliveries*, *engagements* and *suppressing* (kind: reason) say what that means here; a report of any other kind is
    none of ours. *id_field* is where it names the provider's id, and *time_field* the time, in ISO 8601.
    """

    webhook_secrets: tuple[Secret | str, ...]
    deliveries: Mapping[str, Delivery]
    engagements: Mapping[str, Engagement] = field(default_factory=dict)
    suppressing: Mapping[str, str] = field(default_factory=dict)
    kind_field: str = "type"
    id_field: str = "data.id"
    time_field: str = "timestamp"
    within: timedelta = ReceiptWindow().within

    @property
    def keeps(self) -> ReceiptWindow:
        """What is declared of them."""
        return ReceiptWindow(within=self.within)

    def reader(self, gateway: str) -> JsonReceiptReader:
        """What reads them for *gateway*. Raises `ConfigurationError`."""
        if not {**self.deliveries, **self.engagements, **self.suppressing}:
            raise ConfigurationError([f"{gateway}: its receipts mean nothing. Name kinds of reports in deliveries."])
        return JsonReceiptReader(gateway, self)


class JsonReceiptReader:
    """Verifies and reads the reports of one gateway."""

    def __init__(self, gateway: str, settings: JsonReceipts) -> None:
        self._gateway = gateway
        self._settings = settings
        self._signed = SignedReports(gateway, settings.webhook_secrets)

    def read(self, incoming: Incoming) -> Sequence[Receipt]:
        """The receipt in *incoming*, if it is of a kind that means something. Raises `ReceiptRefused`."""
        report_id = self._signed.verified(incoming)
        settings, report = self._settings, json_document(incoming.body)
        kind = field_at(report, settings.kind_field)
        if not isinstance(kind, str) or kind not in {
            **settings.deliveries,
            **settings.engagements,
            **settings.suppressing,
        }:
            return ()
        found = provider_id(field_at(report, settings.id_field))
        if found is None:
            raise ReceiptRefused(
                f"{self._gateway}: a signed report came in without an id at {settings.id_field!r}. Nothing was "
                "changed. Correct id_field."
            )
        return (
            Receipt(
                dedupe=report_id,
                provider_id=found,
                delivery=settings.deliveries.get(kind),
                engagement=settings.engagements.get(kind),
                detail=one_line(kind),
                occurred_at=time_of(field_at(report, settings.time_field)),
                suppresses=settings.suppressing.get(kind, ""),
            ),
        )
