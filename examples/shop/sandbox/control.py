"""The control API: sets behaviours and tells what the providers took. No provider has one; it is the tests' side."""

from collections.abc import Callable
from dataclasses import asdict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.shop.sandbox.behaviours import Behaviours, parse
from examples.shop.sandbox.record import Record


def app(record: Record, behaviours: Behaviours, forget: Callable[[], None]) -> Starlette:
    """The application with these endpoints, all JSON:

    POST /behaviours  {"channel", "recipient", "behaviour", "times": int or null, "seconds": number or null}: 204, or
                      400 with {"error": text}. The recipient "*" is everyone without a behaviour of their own.
    GET  /behaviours  the list of those in force, with the times that are left
    GET  /accepted    {"sms": [...], "email": [...], "billing": [...]}, items as in the files
    GET  /requests    the list of all requests, as in requests.jsonl
    POST /reset       204; clears behaviours, /accepted and /requests, and calls `forget` for what the providers
                      remember of their own (messages, invoices, idempotency keys). The files stay.
    """

    async def set_behaviour(request: Request) -> Response:
        try:
            behaviour = parse(await request.json())
        except ValueError as wrong:
            return JSONResponse({"error": str(wrong)}, 400)
        behaviours.set(behaviour)
        return Response(status_code=204)

    async def list_behaviours(request: Request) -> Response:
        return JSONResponse([asdict(behaviour) for behaviour in behaviours.in_force()])

    async def list_accepted(request: Request) -> Response:
        return JSONResponse({channel: [asdict(one) for one in taken] for channel, taken in record.accepted().items()})

    async def list_requests(request: Request) -> Response:
        return JSONResponse([asdict(one) for one in record.requests()])

    async def reset(request: Request) -> Response:
        behaviours.clear()
        record.forget()
        forget()
        return Response(status_code=204)

    return Starlette(
        routes=[
            Route("/behaviours", set_behaviour, methods=["POST"]),
            Route("/behaviours", list_behaviours, methods=["GET"]),
            Route("/accepted", list_accepted, methods=["GET"]),
            Route("/requests", list_requests, methods=["GET"]),
            Route("/reset", reset, methods=["POST"]),
        ]
    )
