"""Answers and reports as the providers' own documentation shows them, each with its source."""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode
from datetime import datetime
from hashlib import sha1, sha256

from duly.ports.gateway import Incoming
from duly.testing.gateway_exam import Report

# https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource, as in twilio-python's
# tests/integration/api/v2010/account/test_message.py, test_create_response.
TWILIO_MESSAGE = {
    "account_sid": "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "api_version": "2010-04-01",
    "body": "O Slash: \u00d8, PoP: \U0001f4a9",
    "date_created": "Thu, 30 Jul 2015 20:12:31 +0000",
    "date_sent": "Thu, 30 Jul 2015 20:12:33 +0000",
    "date_updated": "Thu, 30 Jul 2015 20:12:33 +0000",
    "direction": "outbound-api",
    "error_code": None,
    "error_message": None,
    "from": "+14155552345",
    "messaging_service_sid": "MGaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "num_media": "0",
    "num_segments": "1",
    "price": "-0.00750",
    "price_unit": "USD",
    "sid": "SMaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "status": "sent",
    "subresource_uris": {
        "media": "/2010-04-01/Accounts/ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/Messages/"
        "SMaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/Media.json"
    },
    "to": "+14155552345",
    "uri": "/2010-04-01/Accounts/ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/Messages/SMaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.json",
}


def twilio_message(number: int) -> bytes:
    """The example, with a SID of its own."""
    return json.dumps({**TWILIO_MESSAGE, "sid": f"SM{number:032x}"}).encode()


def twilio_error(status: int, code: int, message: str) -> bytes:
    """The form of https://www.twilio.com/docs/usage/twilios-response#exceptions."""
    more = f"https://www.twilio.com/docs/errors/{code}"
    return json.dumps({"code": code, "message": message, "more_info": more, "status": status}).encode()


# https://www.twilio.com/docs/api/errors/21211, …/20003, …/20429
TWILIO_REFUSALS = {
    400: twilio_error(400, 21211, "The 'To' number +491511234567 is not a valid phone number."),
    401: twilio_error(401, 20003, "Authenticate"),
    429: twilio_error(429, 20429, "Too Many Requests"),
}
# https://www.twilio.com/docs/api/errors/20404, /21606: what any message would meet.
TWILIO_NO_ACCOUNT = twilio_error(
    404, 20404, "The requested resource /2010-04-01/Accounts/a/Messages.json was not found"
)
TWILIO_NOT_OUR_NUMBER = twilio_error(
    400, 21606, "The From phone number +15005550007 is not a valid, SMS-capable inbound phone number."
)


def twilio_report(report: Report) -> bytes:
    """https://www.twilio.com/docs/messaging/guides/track-outbound-message-status, the body of a status callback."""
    return (
        f"SmsSid={report.provider_id}&SmsStatus={report.kind}&MessageStatus={report.kind}&To=%2B1512zzzyyyy"
        f"&MessageSid={report.provider_id}&AccountSid=ACxxxxxxx&From=%2B1512xxxyyyy&ApiVersion=2010-04-01"
    ).encode()


def twilio_signed(url: str, query: str, form: list[tuple[str, str]], body: bytes, token: str, at: datetime) -> Incoming:
    """https://www.twilio.com/docs/usage/webhooks/webhooks-security: the URL, then the sorted fields, HMAC-SHA1."""
    signed = f"{url}?{query}" + "".join(name + value for name, value in sorted(form))
    signature = b64encode(hmac.digest(token.encode(), signed.encode(), sha1)).decode()
    headers = (("content-type", "application/x-www-form-urlencoded"), ("x-twilio-signature", signature))
    return Incoming(method="POST", path="/receipts/sms", query=query, headers=headers, body=body, received_at=at)


# https://resend.com/changelog/idempotency-keys: both calls under one key "return the same email id".
RESEND_EMAIL_ID = "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"


def resend_email(number: int) -> bytes:
    """The example, with an id of its own."""
    return json.dumps({"id": f"{RESEND_EMAIL_ID[:-4]}{number:04}"}).encode()


def resend_error(status: int, name: str, message: str) -> bytes:
    """The form and the texts of https://resend.com/docs/api-reference/errors."""
    return json.dumps({"statusCode": status, "message": message, "name": name}).encode()


RESEND_REFUSALS = {
    400: resend_error(400, "validation_error", "We found an error with one or more fields in the request."),
    401: resend_error(401, "missing_api_key", "Missing API key in the authorization header."),
    403: resend_error(403, "invalid_api_key", "API key is invalid."),
    409: resend_error(
        409,
        "concurrent_idempotent_requests",
        "Same idempotency key used while original request is still in progress.",
    ),
    422: resend_error(422, "missing_required_field", "The request body is missing one or more required fields."),
    429: resend_error(429, "rate_limit_exceeded", "Too many requests. Please limit the number of requests per second."),
    500: resend_error(500, "internal_server_error", "An unexpected error occurred."),
}
RESEND_ANOTHER_BODY = resend_error(
    409, "invalid_idempotent_request", "Same idempotency key used with a different request payload."
)
RESEND_QUOTA = resend_error(429, "daily_quota_exceeded", "You have reached your daily email sending quota.")


def resend_report(report: Report) -> bytes:
    """https://resend.com/docs/webhooks/emails/delivered, the example."""
    return json.dumps(
        {
            "type": report.kind,
            "created_at": "2024-02-22T23:41:12.126Z",
            "data": {
                "created_at": "2024-02-22T23:41:11.894719+00:00",
                "email_id": report.provider_id,
                "from": "Acme <onboarding@resend.dev>",
                "to": ["delivered@resend.dev"],
                "subject": "Sending this example",
                "tags": {"category": "confirm_email"},
            },
        }
    ).encode()


def standard_signed(prefix: str, secret: str, report: Report, body: bytes, at: datetime) -> Incoming:
    """https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, signature scheme.

    Written out, so that it is not the library of the gateways that examines itself.
    """
    message_id = f"msg_2KWPBgLlAfxdpx2AI54pPJ{report.number:05}"
    moment = str(int(at.timestamp()))
    signed = b".".join((message_id.encode(), moment.encode(), body))
    signature = b64encode(hmac.digest(b64decode(secret.removeprefix("whsec_")), signed, sha256)).decode()
    headers = (
        ("content-type", "application/json"),
        (f"{prefix}-id", message_id),
        (f"{prefix}-timestamp", moment),
        (f"{prefix}-signature", f"v1,{signature}"),
    )
    return Incoming(method="POST", path="/receipts", query="", headers=headers, body=body, received_at=at)


# https://docs.stripe.com/api/invoices/object, the beginning of the example; metadata as in the guide to metadata.
STRIPE_INVOICE = {
    "id": "in_1MtHbELkdIwHu7ixl4OzzPMv",
    "object": "invoice",
    "account_country": "US",
    "account_name": "Stripe Docs",
    "account_tax_ids": None,
    "amount_due": 0,
    "amount_paid": 0,
    "amount_remaining": 0,
    "amount_shipping": 0,
    "application": None,
}


def stripe_invoice(number: int, reference: str | None = None) -> dict[str, object]:
    """The example, with an id of its own."""
    return {**STRIPE_INVOICE, "id": f"in_1MtHbELkdIwHu7ixl4{number:06}", "metadata": {"reference": reference}}


def stripe_search(found: list[dict[str, object]]) -> bytes:
    """https://docs.stripe.com/api/invoices/search, the response."""
    result = {"object": "search_result", "url": "/v1/invoices/search", "has_more": False, "data": found}
    return json.dumps(result).encode()


def stripe_error(**error: str) -> bytes:
    """The form of https://docs.stripe.com/api/errors."""
    return json.dumps({"error": error}).encode()


# https://docs.stripe.com/api/idempotent_requests: "errors if they're not the same to prevent accidental misuse"; the
# text as Stripe gives it (stripe-ruby, stripe-node and their issue trackers quote it).
STRIPE_ANOTHER_BODY = stripe_error(
    type="idempotency_error",
    message="Keys for idempotent requests can only be used with the same parameters they were first used with. Try "
    "using a key other than 'key-1' if you meant to execute a different request.",
)
# https://docs.stripe.com/error-codes: idempotency_key_in_use, rate_limit, resource_missing
STRIPE_REFUSALS = {
    400: stripe_error(type="invalid_request_error", message="Missing required param: customer.", param="customer"),
    404: stripe_error(type="invalid_request_error", code="resource_missing", message="No such customer: 'cus_1'"),
    409: stripe_error(type="invalid_request_error", code="idempotency_key_in_use", message="In use."),
    429: stripe_error(type="invalid_request_error", code="rate_limit", message="Request rate limit exceeded."),
}
