"""What the control API sets for a whole provider, and not for one recipient."""

from dataclasses import dataclass

from examples.shop.sandbox.rules import parse_object, parse_seconds

FIELDS = ("receipt_delay_seconds", "index_lag_seconds", "key_lifetime_seconds", "webhook_url")
RECEIPT_DELAY_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How slow and how forgetful the providers are; the defaults are those of the start and of a reset.

    `receipt_delay_seconds`: from the acceptance to the first change of status, and from each one to the next. What
    happens is reported as soon as it has happened; with 0 a report may overtake the answer.
    `index_lag_seconds`: how long the list of invoices does not know an invoice that was made.
    `key_lifetime_seconds`: after this time an idempotency key is forgotten, and a repeat makes another invoice; None
    is never.
    `webhook_url`: where the billing API sends its events, a URL on loopback; None is nowhere.
    """

    receipt_delay_seconds: float = RECEIPT_DELAY_SECONDS
    index_lag_seconds: float = 0.0
    key_lifetime_seconds: float | None = None
    webhook_url: str | None = None


class SettingsInForce:
    """The settings as they are now."""

    def __init__(self) -> None:
        self.now = Settings()

    def reset(self) -> None:
        """Go back to the defaults."""
        self.now = Settings()


def parse(document: object) -> Settings:
    """Make settings of the control API's JSON, where what is absent or null has its default; raises ValueError.

    It does not look where `webhook_url` leads.
    """
    found = parse_object(document, "the settings", FIELDS)
    delay = parse_seconds("receipt_delay_seconds", found.get("receipt_delay_seconds"))
    lag = parse_seconds("index_lag_seconds", found.get("index_lag_seconds"))
    webhook_url = found.get("webhook_url")
    if webhook_url is not None and not isinstance(webhook_url, str):
        raise ValueError(f"webhook_url is a URL, or null, not {webhook_url!r}")
    return Settings(
        receipt_delay_seconds=RECEIPT_DELAY_SECONDS if delay is None else delay,
        index_lag_seconds=0.0 if lag is None else lag,
        key_lifetime_seconds=parse_seconds("key_lifetime_seconds", found.get("key_lifetime_seconds")),
        webhook_url=webhook_url,
    )
