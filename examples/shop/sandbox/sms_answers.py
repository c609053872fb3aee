"""The JSON of Twilio's Messages API, as its public reference shows it: messages, errors, segments."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime

from starlette.responses import JSONResponse

API_VERSION = "2010-04-01"
E164 = re.compile(r"\+[1-9][0-9]{6,14}")
LONGEST_BODY = 1600

GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENDED = frozenset("^{}\\[~]|€\f")


def error(status: int, code: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Twilio's error document: {"code", "message", "more_info", "status"}."""
    more_info = f"https://www.twilio.com/docs/errors/{code}"
    document = {"code": code, "message": message, "more_info": more_info, "status": status}
    return JSONResponse(document, status, headers)


def unauthorized() -> JSONResponse:
    """401 with code 20003, for credentials that are absent, wrong or another account's."""
    return error(401, 20003, "Authenticate", {"WWW-Authenticate": 'Basic realm="Twilio API"'})


def fault(form: Mapping[str, str]) -> JSONResponse | None:
    """The 400 for a form that Twilio would not take from anyone, or None if it is in order."""
    recipient, body = form.get("To", ""), form.get("Body", "")
    if not recipient:
        return error(400, 21604, "A 'To' phone number is required.")
    if not E164.fullmatch(recipient):
        return error(400, 21211, f"The 'To' number {recipient} is not a valid phone number.")
    if not form.get("From") and not form.get("MessagingServiceSid"):
        return error(400, 21603, "A 'From' phone number is required.")
    if not body:
        return error(400, 21602, "Message body is required.")
    if len(body) > LONGEST_BODY:
        return error(400, 21617, f"The concatenated message body exceeds the {LONGEST_BODY} character limit.")
    return None


def message(account_sid: str, sid: str, form: Mapping[str, str]) -> dict[str, object]:
    """The document of a message just taken from a form that has no `fault`.

    With a MessagingServiceSid no sender is chosen yet, so that "from" is null, "num_segments" "0" and the status
    "accepted", where a message with a From is "queued".
    """
    moment = format_datetime(datetime.now(UTC))
    service = form.get("MessagingServiceSid") or None
    uri = f"/{API_VERSION}/Accounts/{account_sid}/Messages/{sid}"
    return {
        "account_sid": account_sid,
        "api_version": API_VERSION,
        "body": form["Body"],
        "date_created": moment,
        "date_sent": None,
        "date_updated": moment,
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": form.get("From") or None,
        "messaging_service_sid": service,
        "num_media": "0",
        "num_segments": "0" if service else str(segments(form["Body"])),
        "price": None,
        "price_unit": "USD",
        "sid": sid,
        "status": "accepted" if service else "queued",
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": form["To"],
        "uri": f"{uri}.json",
    }


def segments(body: str) -> int:
    """How many SMS a text takes: 160 GSM-7 characters or 70 UTF-16 units in one, 153 or 67 in each of several."""
    if GSM_BASIC.union(GSM_EXTENDED).issuperset(body):
        units, alone, joined = sum(2 if character in GSM_EXTENDED else 1 for character in body), 160, 153
    else:
        units, alone, joined = len(body.encode("utf-16-le", "surrogatepass")) // 2, 70, 67
    return 1 if units <= alone else math.ceil(units / joined)
