"""The billing API: makes an invoice once for each idempotency key, in the way that Stripe's API does."""

import asyncio
import json
import math
import secrets
import time
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.shop.sandbox.behaviours import Behaviour, Behaviours
from examples.shop.sandbox.http_server import cut, hang
from examples.shop.sandbox.record import Accepted, Record


@dataclass(frozen=True, slots=True)
class _First:
    """The first request with a key: what it asked for (canonical JSON), and the invoice that it made."""

    asked: str
    invoice: dict[str, Any]


class BillingProvider:
    """Makes invoices; remembers them and their idempotency keys until `forget`."""

    def __init__(self, record: Record, behaviours: Behaviours, stopping: asyncio.Event) -> None:
        self._record = record
        self._behaviours = behaviours
        self._stopping = stopping
        self._first: dict[str, _First] = {}
        self._in_progress: set[str] = set()

    def app(self) -> Starlette:
        """POST /invoices and GET /invoices?reference=…

        Behaviours apply to the POST alone: looking an invoice up tells the truth even during an outage.
        """
        return Starlette(
            routes=[
                Route("/invoices", self._create, methods=["POST"]),
                Route("/invoices", self._find, methods=["GET"]),
            ]
        )

    def forget(self) -> None:
        """Know no invoice and no key any more."""
        self._first.clear()

    async def _create(self, request: Request) -> Response:
        key = request.headers.get("Idempotency-Key")
        try:
            asked = json.loads(await request.body())
        except ValueError:  # not JSON, or not UTF-8
            asked = None
        customer = asked.get("customer") if isinstance(asked, dict) else None
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
            return await self._answer(request, key, asked, behaviour)
        finally:
            self._in_progress.discard(key)

    async def _answer(self, request: Request, key: str, asked: dict[str, Any], behaviour: Behaviour) -> Response:
        customer = asked["customer"]
        # First what keeps a request from being looked at, then the key, and last what the invoice itself meets:
        # an invoice that exists is replayed even to a customer who would be refused by now.
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
            case "refuse" | "accept_and_drop" | "ok":
                pass
        canonical = json.dumps(asked, sort_keys=True, ensure_ascii=False)
        first = self._first.get(key)
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
        invoice = self._make(key, asked, canonical, behaviour) if first is None else first.invoice
        if behaviour.behaviour == "accept_and_drop":
            self._record.request("billing", customer, "dropped")
            return await cut(request)
        if first is None:
            self._record.request("billing", customer, "accepted")
            return JSONResponse(invoice, 201)
        self._record.request("billing", customer, "replayed")
        return JSONResponse(invoice, 201, {"Idempotent-Replayed": "true"})

    def _make(self, key: str, asked: dict[str, Any], canonical: str, behaviour: Behaviour) -> dict[str, Any]:
        invoice = {
            **asked,
            "id": "in_" + secrets.token_hex(12),
            "object": "invoice",
            "number": f"INV-{len(self._first) + 1:06}",
            "status": "open",
            "created": int(time.time()),
        }
        accepted = Accepted(
            provider_id=invoice["id"],
            recipient=asked["customer"],
            reference=key,
            body=canonical,
            behaviour=behaviour.applied,
        )
        self._record.accept("billing", accepted)
        self._first[key] = _First(canonical, invoice)
        return invoice

    async def _find(self, request: Request) -> Response:
        reference = request.query_params.get("reference")
        if reference is None:
            return _error(400, "invalid_request_error", "The request needs the parameter reference.")
        found = [first.invoice for first in self._first.values() if first.invoice.get("reference") == reference]
        return JSONResponse({"object": "list", "data": found})


def _error(status: int, kind: str, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": {"type": kind, "message": text}}, status, headers)
