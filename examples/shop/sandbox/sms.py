"""The SMS provider, shaped like Twilio's Messages API: as there, each POST that it takes is one more SMS."""

import asyncio
import base64
import math
import secrets
import time
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.shop.sandbox.behaviours import Behaviour, Behaviours
from examples.shop.sandbox.courier import Courier, check_loopback
from examples.shop.sandbox.http_server import Outage, cut, hang
from examples.shop.sandbox.receipt_plan import Progress, plan
from examples.shop.sandbox.receipt_rules import ReceiptRule, ReceiptRules
from examples.shop.sandbox.record import Accepted, Record
from examples.shop.sandbox.settings import SettingsInForce
from examples.shop.sandbox.sms_answers import API_VERSION, error, fault, message, unauthorized
from examples.shop.sandbox.sms_receipts import STATUSES, Callbacks, document_of, opposite

ACCOUNT_SID = "AC" + "5a" * 16
AUTH_TOKEN = "sandbox-auth-token"


@dataclass(frozen=True, slots=True)
class _Message:
    """A message that was taken, as it was answered, and what becomes of it."""

    document: dict[str, object]
    progress: Progress


class SmsProvider:
    """Takes messages for one account and reports on them; remembers them until `forget`."""

    def __init__(
        self,
        record: Record,
        behaviours: Behaviours,
        receipts: ReceiptRules,
        settings: SettingsInForce,
        courier: Courier,
        stopping: asyncio.Event,
    ) -> None:
        self._record = record
        self._behaviours = behaviours
        self._receipts = receipts
        self._settings = settings
        self._courier = courier
        self._stopping = stopping
        self._outage = Outage()
        self._messages: dict[str, _Message] = {}

    def app(self) -> Starlette:
        """POST /2010-04-01/Accounts/{sid}/Messages.json and GET …/Messages/{sid}.json.

        Behaviours apply to the POST alone: looking a message up tells the truth even during an outage. After an
        "accept_and_die" nothing is answered for a while, look-ups included. A StatusCallback that leads away from this
        machine is refused with 21609; Twilio's own rule is that it must be public.
        """
        messages = f"/{API_VERSION}/Accounts/{{account_sid}}/Messages"
        return Starlette(
            routes=[
                Route(f"{messages}.json", self._create, methods=["POST"]),
                Route(f"{messages}/{{sid}}.json", self._fetch, methods=["GET"]),
            ]
        )

    def forget(self) -> None:
        """Know no message any more, and be there."""
        self._messages.clear()
        self._outage.end()

    async def _create(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
        recipient = form.get("To", "")
        if self._outage.lasts:
            self._record.request("sms", recipient, "down")
            return await cut(request)
        if not _authenticated(request):
            self._record.request("sms", recipient, "unauthorized")
            return unauthorized()
        if (wrong := fault(form) or _callback_fault(form)) is not None:
            self._record.request("sms", recipient, "refused")
            return wrong
        return await self._answer(request, form, self._behaviours.take("sms", recipient))

    async def _answer(self, request: Request, form: dict[str, str], behaviour: Behaviour) -> Response:
        recipient = form["To"]
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
            case "accept_and_drop" | "accept_and_die":
                if behaviour.behaviour == "accept_and_die":
                    self._outage.begin(behaviour.dead_seconds)
                await self._take(request, form, behaviour)
                self._record.request("sms", recipient, "dropped")
                return await cut(request)
            case "accept_and_fail":
                await self._take(request, form, behaviour)
                self._record.request("sms", recipient, "failed")
                return error(500, 20500, "Internal Server Error")
            case "accept_and_hang":
                taken = await self._take(request, form, behaviour)
                self._record.request("sms", recipient, "silent")
                await hang(request, behaviour.hang_seconds, self._stopping)
                return JSONResponse(taken, 201)
            case "ok":
                taken = await self._take(request, form, behaviour)
                self._record.request("sms", recipient, "accepted")
                return JSONResponse(taken, 201)

    async def _take(self, request: Request, form: dict[str, str], behaviour: Behaviour) -> dict[str, object]:
        sid = "SM" + secrets.token_hex(16)
        taken = message(request.path_params["account_sid"], sid, form)
        status_callback = form.get("StatusCallback") or None
        accepted = Accepted(
            provider_id=sid,
            recipient=form["To"],
            reference=None,
            body=form["Body"],
            behaviour=behaviour.applied,
            status_callback=status_callback,
        )
        self._record.accept("sms", accepted)
        rule = self._receipts.take("sms", form["To"])
        progress = Progress(
            statuses=STATUSES[rule.result or "delivered"],
            taken_at=time.monotonic(),
            delay_seconds=self._settings.now.receipt_delay_seconds,
        )
        self._messages[sid] = _Message(taken, progress)
        if status_callback is not None:
            await self._report(taken, status_callback, rule, progress)
        return taken

    async def _report(self, taken: dict[str, object], url: str, rule: ReceiptRule, progress: Progress) -> None:
        callbacks = Callbacks(document=taken, url=url, auth_token=AUTH_TOKEN, rule=rule, truth=progress.statuses[-1])
        steps = plan(progress, opposite(rule.result or "delivered"), rule)
        if rule.mood == "early":
            await self._courier.send(steps, callbacks.post)
        else:
            self._courier.send_later(steps, callbacks.post)

    async def _fetch(self, request: Request) -> Response:
        if self._outage.lasts:
            return await cut(request)
        if not _authenticated(request):
            return unauthorized()
        found = self._messages.get(request.path_params["sid"])
        if found is None:
            return error(404, 20404, f"The requested resource {request.url.path} was not found")
        return JSONResponse(document_of(found.document, found.progress.status(time.monotonic())))


def _callback_fault(form: dict[str, str]) -> Response | None:
    url = form.get("StatusCallback")
    if not url:
        return None
    try:
        check_loopback(url)
    except ValueError as wrong:
        return error(400, 21609, f"The 'StatusCallback' URL is not valid: {wrong}")
    return None


def _authenticated(request: Request) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    try:
        username, _, password = base64.b64decode(given, validate=True).decode("utf-8").partition(":")
    except ValueError:  # not base64, or not UTF-8
        return False
    account_sid = request.path_params["account_sid"]
    return scheme.lower() == "basic" and (username, password, account_sid) == (ACCOUNT_SID, AUTH_TOKEN, ACCOUNT_SID)
