"""Adapters to the outside world, each in its own module, each with its own driver.

Nothing is imported here, so that an application pays only for the providers it names::

    from duly.gateways.smtp import SmtpGateway      # pip install 'duly[mail]'
    from duly.gateways.twilio import TwilioSms      # pip install 'duly[sms]'

Architecture invariant: no gateway knows of stores, acts or other gateways, and none repeats a call by itself.
"""
