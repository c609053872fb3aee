"""The control API: steers the providers and tells what they took and reported. No provider has one; it is the tests'
side.
"""

from collections.abc import Callable
from dataclasses import asdict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.shop.sandbox import behaviours, receipt_rules, settings
from examples.shop.sandbox.behaviours import Behaviours
from examples.shop.sandbox.courier import Courier, check_loopback
from examples.shop.sandbox.receipt_rules import ReceiptRules
from examples.shop.sandbox.record import Record
from examples.shop.sandbox.settings import SettingsInForce


class Control:
    """What the control API steers."""

    def __init__(
        self,
        *,
        record: Record,
        behaviours: Behaviours,
        receipts: ReceiptRules,
        settings: SettingsInForce,
        courier: Courier,
        forget: Callable[[], None],
        forget_keys: Callable[[], None],
    ) -> None:
        """`forget` lets the providers forget what they remember of their own, `forget_keys` the idempotency keys."""
        self._record = record
        self._behaviours = behaviours
        self._receipts = receipts
        self._settings = settings
        self._courier = courier
        self._forget = forget
        self._forget_keys = forget_keys

    def app(self) -> Starlette:
        """The application with these endpoints, all JSON. What makes no sense is a 400 with {"error": text}.

        POST /behaviours        {"channel", "recipient", "behaviour", "times": int or null, "seconds": number or null}:
                                204. The recipient "*" is everyone without a behaviour of their own.
        GET  /behaviours        the list of those in force, with the times that are left
        POST /receipts          {"channel": "sms" or "billing", "recipient", "mood": "normal" if absent, "result": name
                                or null, "times": int or null, "seconds": number or null}: 204
        GET  /receipts          the list of the rules in force, with the times that are left
        GET  /receipts/sent     the list of the receipts that were sent, as in receipts.jsonl
        GET  /receipts/pending  {"pending": int}, those that are still to be sent
        PUT  /settings          the fields of Settings; one that is absent has its default: 204
        GET  /settings          the settings in force
        POST /forget-keys       204; the billing API knows no idempotency key any more, but its invoices
        GET  /accepted          {"sms": [...], "email": [...], "billing": [...]}, items as in the files
        GET  /requests          the list of all requests, as in requests.jsonl
        POST /reset             204; clears all of the above and whatever the providers remember of their own (messages,
                                invoices, idempotency keys), and sends no receipt any more. The files stay.
        """
        return Starlette(
            routes=[
                Route("/behaviours", self._set_behaviour, methods=["POST"]),
                Route("/behaviours", self._list_behaviours, methods=["GET"]),
                Route("/receipts", self._set_receipts, methods=["POST"]),
                Route("/receipts", self._list_receipts, methods=["GET"]),
                Route("/receipts/sent", self._list_sent, methods=["GET"]),
                Route("/receipts/pending", self._count_pending, methods=["GET"]),
                Route("/settings", self._change_settings, methods=["PUT"]),
                Route("/settings", self._show_settings, methods=["GET"]),
                Route("/forget-keys", self._lose_keys, methods=["POST"]),
                Route("/accepted", self._list_accepted, methods=["GET"]),
                Route("/requests", self._list_requests, methods=["GET"]),
                Route("/reset", self._reset, methods=["POST"]),
            ]
        )

    async def _set_behaviour(self, request: Request) -> Response:
        try:
            self._behaviours.set(behaviours.parse(await request.json()))
        except ValueError as wrong:
            return _wrong(wrong)
        return Response(status_code=204)

    async def _list_behaviours(self, request: Request) -> Response:
        return JSONResponse([asdict(behaviour) for behaviour in self._behaviours.in_force()])

    async def _set_receipts(self, request: Request) -> Response:
        try:
            self._receipts.set(receipt_rules.parse(await request.json()))
        except ValueError as wrong:
            return _wrong(wrong)
        return Response(status_code=204)

    async def _list_receipts(self, request: Request) -> Response:
        return JSONResponse([asdict(rule) for rule in self._receipts.in_force()])

    async def _list_sent(self, request: Request) -> Response:
        return JSONResponse([asdict(receipt) for receipt in self._record.receipts()])

    async def _count_pending(self, request: Request) -> Response:
        return JSONResponse({"pending": self._courier.pending})

    async def _change_settings(self, request: Request) -> Response:
        try:
            changed = settings.parse(await request.json())
            if changed.webhook_url is not None:
                check_loopback(changed.webhook_url)
        except ValueError as wrong:
            return _wrong(wrong)
        self._settings.now = changed
        return Response(status_code=204)

    async def _show_settings(self, request: Request) -> Response:
        return JSONResponse(asdict(self._settings.now))

    async def _lose_keys(self, request: Request) -> Response:
        self._forget_keys()
        return Response(status_code=204)

    async def _list_accepted(self, request: Request) -> Response:
        found = self._record.accepted()
        return JSONResponse({channel: [asdict(one) for one in taken] for channel, taken in found.items()})

    async def _list_requests(self, request: Request) -> Response:
        return JSONResponse([asdict(one) for one in self._record.requests()])

    async def _reset(self, request: Request) -> Response:
        # What is on its way ends first: nothing of the time before may be written down after this.
        await self._courier.forget()
        self._behaviours.clear()
        self._receipts.clear()
        self._settings.reset()
        self._record.forget()
        self._forget()
        return Response(status_code=204)


def _wrong(error: ValueError) -> Response:
    return JSONResponse({"error": str(error)}, 400)
