"""The effects that most applications have. Any other is a class of the user's own, derived from `Effect`."""

from __future__ import annotations

from duly.messages.fields import EmailAddress, Personal, PhoneNumber
from duly.messages.message import Effect


class Sms(Effect, name="duly.sms"):
    """A text message to one phone number in international form (``+49 151 …``)."""

    to: Personal[PhoneNumber]
    text: Personal[str]


class Email(Effect, name="duly.email"):
    """A mail to one address. `html` is the alternative form of `text`."""

    to: Personal[EmailAddress]
    subject: Personal[str]
    text: Personal[str]
    html: Personal[str] | None = None
    reply_to: Personal[EmailAddress] | None = None
