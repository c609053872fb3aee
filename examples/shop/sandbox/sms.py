"""The SMS provider, shaped like Twilio's Messages API: as there, each POST that it takes is one more SMS."""

import asyncio
import base64
import math
import secrets
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.shop.sandbox.behaviours import Behaviour, Behaviours
from examples.shop.sandbox.http_server import cut, hang
from examples.shop.sandbox.record import Accepted, Record
from examples.shop.sandbox.sms_answers import API_VERSION, error, fault, message, unauthorized

ACCOUNT_SID = "AC" + "5a" * 16
AUTH_TOKEN = "sandbox-auth-token"


class SmsProvider:
    """Takes messages for one account; remembers them until `forget`."""

    def __init__(self, record: Record, behaviours: Behaviours, stopping: asyncio.Event) -> None:
        self._record = record
        self._behaviours = behaviours
        self._stopping = stopping
        self._messages: dict[str, dict[str, object]] = {}

    def app(self) -> Starlette:
        """POST /2010-04-01/Accounts/{sid}/Messages.json and GET …/Messages/{sid}.json.

        Behaviours apply to the POST alone: looking a message up tells the truth even during an outage.
        """
        messages = f"/{API_VERSION}/Accounts/{{account_sid}}/Messages"
        return Starlette(
            routes=[
                Route(f"{messages}.json", self._create, methods=["POST"]),
                Route(f"{messages}/{{sid}}.json", self._fetch, methods=["GET"]),
            ]
        )

    def forget(self) -> None:
        """Know no message any more."""
        self._messages.clear()

    async def _create(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
        recipient = form.get("To", "")
        if not _authenticated(request):
            self._record.request("sms", recipient, "unauthorized")
            return unauthorized()
        if (wrong := fault(form)) is not None:
            self._record.request("sms", recipient, "refused")
            return wrong
        behaviour = self._behaviours.take("sms", recipient)
        match behaviour.behaviour:
            case "refuse":
                self._record.request("sms", recipient, "refused")
                return error(400, 21610, "Attempt to send to unsubscribed recipient")
            case "unauthorized":
                self._record.request("sms", recipient, "unauthorized")
                return unauthorized()
            case "unavailable":
                self._record.request("sms", recipient, "unavailable")
                return error(503, 20503, "Service is unavailable")
            case "rate_limit":
                self._record.request("sms", recipient, "rate_limited")
                retry_after = str(math.ceil(behaviour.retry_after_seconds))
                return error(429, 20429, "Too Many Requests", {"Retry-After": retry_after})
            case "hang":
                self._record.request("sms", recipient, "hung")
                await hang(request, behaviour.hang_seconds, self._stopping)
                return error(503, 20503, "Service is unavailable")
            case "accept_and_drop":
                self._take(request, form, behaviour)
                self._record.request("sms", recipient, "dropped")
                return await cut(request)
            case "ok":
                taken = self._take(request, form, behaviour)
                self._record.request("sms", recipient, "accepted")
                return JSONResponse(taken, 201)

    def _take(self, request: Request, form: dict[str, str], behaviour: Behaviour) -> dict[str, object]:
        sid = "SM" + secrets.token_hex(16)
        taken = message(request.path_params["account_sid"], sid, form)
        accepted = Accepted(
            provider_id=sid,
            recipient=form["To"],
            reference=None,
            body=form["Body"],
            behaviour=behaviour.applied,
            status_callback=form.get("StatusCallback") or None,
        )
        self._record.accept("sms", accepted)
        self._messages[sid] = taken
        return taken

    async def _fetch(self, request: Request) -> Response:
        if not _authenticated(request):
            return unauthorized()
        found = self._messages.get(request.path_params["sid"])
        if found is None:
            return error(404, 20404, f"The requested resource {request.url.path} was not found")
        return JSONResponse(found)


def _authenticated(request: Request) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    try:
        username, _, password = base64.b64decode(given, validate=True).decode("utf-8").partition(":")
    except ValueError:  # not base64, or not UTF-8
        return False
    account_sid = request.path_params["account_sid"]
    return scheme.lower() == "basic" and (username, password, account_sid) == (ACCOUNT_SID, AUTH_TOKEN, ACCOUNT_SID)
