"""The billing API: makes an invoice once for each idempotency key, in the way that Stripe's API does."""

import asyncio
import json
import math
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.shop.sandbox.behaviours import Behaviour, Behaviours
from examples.shop.sandbox.billing_events import STATUSES, WEBHOOK_SECRET, Events, opposite
from examples.shop.sandbox.courier import Courier
from examples.shop.sandbox.http_server import Outage, cut, hang
from examples.shop.sandbox.invoices import Invoices
from examples.shop.sandbox.receipt_plan import Progress, plan
from examples.shop.sandbox.receipt_rules import ReceiptRule, ReceiptRules
from examples.shop.sandbox.record import Accepted, Record
from examples.shop.sandbox.settings import SettingsInForce


class BillingProvider:
    """Makes invoices and reports on them; remembers them and their idempotency keys until `forget`."""

    def __init__(
        self,
        record: Record,
        behaviours: Behaviours,
        receipts: ReceiptRules,
        settings: SettingsInForce,
        courier: Courier,
        stopping: asyncio.Event,
        webhook_secret: str = WEBHOOK_SECRET,
    ) -> None:
        self._record = record
        self._behaviours = behaviours
        self._receipts = receipts
        self._settings = settings
        self._courier = courier
        self._stopping = stopping
        self._webhook_secret = webhook_secret
        self._outage = Outage()
        self._invoices = Invoices(settings)
        self._in_progress: set[str] = set()

    def app(self) -> Starlette:
        """POST /invoices, GET /invoices?reference=… and GET /invoices/by-reference/…

        The reference is the idempotency key or the request's own field "reference". The list knows all invoices that
        have it, but is behind by the index's lag; by-reference knows the oldest one, at once.

        Behaviours apply to the POST alone: looking an invoice up tells the truth even during an outage. After an
        "accept_and_die" nothing is answered for a while, look-ups included.
        """
        return Starlette(
            routes=[
                Route("/invoices", self._create, methods=["POST"]),
                Route("/invoices", self._list, methods=["GET"]),
                Route("/invoices/by-reference/{reference:path}", self._find, methods=["GET"]),
            ]
        )

    def forget(self) -> None:
        """Know no invoice and no key any more, and be there."""
        self._invoices.forget()
        self._outage.end()

    def forget_keys(self) -> None:
        """Know no idempotency key any more: each repeat makes another invoice."""
        self._invoices.forget_keys()

    async def _create(self, request: Request) -> Response:
        key = request.headers.get("Idempotency-Key")
        try:
            asked = json.loads(await request.body())
        except ValueError:  # not JSON, or not UTF-8
            asked = None
        customer = asked.get("customer") if isinstance(asked, dict) else None
        if self._outage.lasts:
            self._record.request("billing", customer if isinstance(customer, str) else "", "down")
            return await cut(request)
        if not key or not isinstance(customer, str) or not customer:
            missing = "the header Idempotency-Key" if not key else "a JSON object with the string 'customer'"
            self._record.request("billing", customer if isinstance(customer, str) else "", "refused")
            return _error(400, "invalid_request_error", f"The request needs {missing}.")
        if key in self._in_progress:
            self._record.request("billing", customer, "conflicted")
            return _error(409, "idempotency_error", "There is another request in progress with this Idempotency-Key.")
        behaviour = self._behaviours.take("billing", customer)
        self._in_progress.add(key)
        try:
            # First what keeps a request from being looked at, then the key, and last what the invoice itself meets:
            # an invoice that exists is replayed even to a customer who would be refused by now.
            turned_away = await self._turn_away(request, customer, behaviour)
            return turned_away or await self._answer(request, key, asked, behaviour)
        finally:
            self._in_progress.discard(key)

    async def _turn_away(self, request: Request, customer: str, behaviour: Behaviour) -> Response | None:
        match behaviour.behaviour:
            case "unauthorized":
                self._record.request("billing", customer, "unauthorized")
                return _error(401, "authentication_error", "Invalid API key provided.")
            case "unavailable":
                self._record.request("billing", customer, "unavailable")
                return _error(503, "api_error", "The service is unavailable.")
            case "rate_limit":
                self._record.request("billing", customer, "rate_limited")
                retry_after = str(math.ceil(behaviour.retry_after_seconds))
                return _error(429, "rate_limit_error", "Too many requests.", {"Retry-After": retry_after})
            case "hang":
                self._record.request("billing", customer, "hung")
                await hang(request, behaviour.hang_seconds, self._stopping)
                return _error(503, "api_error", "The service is unavailable.")
            case "refuse" | "accept_and_drop" | "accept_and_fail" | "accept_and_hang" | "accept_and_die" | "ok":
                return None

    async def _answer(self, request: Request, key: str, asked: dict[str, Any], behaviour: Behaviour) -> Response:
        customer = asked["customer"]
        canonical = json.dumps(asked, sort_keys=True, ensure_ascii=False)
        first = self._invoices.first(key)
        if first is not None and first.asked != canonical:
            self._record.request("billing", customer, "refused")
            return _error(
                400,
                "idempotency_error",
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{key}' if you meant to execute a different request.",
            )
        if first is None and behaviour.behaviour == "refuse":
            self._record.request("billing", customer, "refused")
            return _error(422, "invalid_request_error", f"The customer {customer} cannot be invoiced.")
        if behaviour.behaviour == "accept_and_die":
            self._outage.begin(behaviour.dead_seconds)
        invoice = await self._make(key, asked, canonical, behaviour) if first is None else first.invoice
        replayed = {"Idempotent-Replayed": "true"} if first is not None else None
        match behaviour.behaviour:
            case "accept_and_drop" | "accept_and_die":
                self._record.request("billing", customer, "dropped")
                return await cut(request)
            case "accept_and_fail":
                self._record.request("billing", customer, "failed")
                return _error(500, "api_error", "Something went wrong on our end.")
            case "accept_and_hang":
                self._record.request("billing", customer, "silent")
                await hang(request, behaviour.hang_seconds, self._stopping)
            case _:
                self._record.request("billing", customer, "accepted" if first is None else "replayed")
        return JSONResponse(invoice, 201, replayed)

    async def _make(self, key: str, asked: dict[str, Any], canonical: str, behaviour: Behaviour) -> dict[str, Any]:
        rule = self._receipts.take("billing", asked["customer"])
        invoice, progress = self._invoices.make(key, asked, canonical, STATUSES[rule.result or "paid"])
        accepted = Accepted(
            provider_id=invoice["id"],
            recipient=asked["customer"],
            reference=key,
            body=canonical,
            behaviour=behaviour.applied,
        )
        self._record.accept("billing", accepted)
        if self._settings.now.webhook_url is not None:
            await self._report(invoice, self._settings.now.webhook_url, rule, progress)
        return invoice

    async def _report(self, invoice: dict[str, Any], url: str, rule: ReceiptRule, progress: Progress) -> None:
        truth = progress.statuses[-1] if progress.statuses else "open"
        events = Events(invoice=invoice, url=url, secret=self._webhook_secret, rule=rule, truth=truth)
        steps = plan(progress, opposite(rule.result or "paid"), rule)
        if rule.mood == "early":
            await self._courier.send(steps, events.post)
        else:
            self._courier.send_later(steps, events.post)

    async def _list(self, request: Request) -> Response:
        if self._outage.lasts:
            return await cut(request)
        reference = request.query_params.get("reference")
        if reference is None:
            return _error(400, "invalid_request_error", "The request needs the parameter reference.")
        return JSONResponse({"object": "list", "data": self._invoices.listed(reference)})

    async def _find(self, request: Request) -> Response:
        if self._outage.lasts:
            return await cut(request)
        reference = request.path_params["reference"]
        found = self._invoices.by_reference(reference)
        if found is None:
            return _error(404, "invalid_request_error", f"There is no invoice with the reference '{reference}'.")
        return JSONResponse(found)


def _error(status: int, kind: str, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": {"type": kind, "message": text}}, status, headers)
