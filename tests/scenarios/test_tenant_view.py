"""S07, S08: what a tenant sees of its effects, and that it sees nobody else's."""

from __future__ import annotations

import asyncio
import csv
import inspect
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import msgspec
import pytest

from duly import (
    Dispatch,
    Duly,
    EffectFilter,
    EffectNotFound,
    InvalidInput,
    InvalidTenant,
    SuppressionList,
    TenantLedger,
)
from duly.effects import tenant_view
from tests.scenarios.desk import PHONE, desk, gateway, sent
from tests.scenarios.running import Running, Start

THEIRS = "+4915198765432"


async def both(start: Start) -> Running:
    """Two tenants, each with effects, one of them known under a reference."""
    running = await start(desk, gateways=[gateway()])
    await sent(running, "mine one", "mine two", reference="order-1")
    await sent(running, "theirs", tenant="other", to=THEIRS, reference="order-2")
    await running.app.suppressions("other").add("sms", "+4915111111111", reason="their reason")
    await running.app.pause("other", reason="their pause", by="their boss")
    await running.quiet()
    return running


async def test_a_page_is_filtered_and_followed_by_the_next_one(start: Start) -> None:
    running = await both(start)
    ledger = running.app.ledger("acme")
    first = await ledger.page(EffectFilter(channel="sms", states=(Dispatch.ACCEPTED,)), rows_max=1)
    assert first.next is not None
    second = await ledger.page(EffectFilter(channel="sms"), after=first.next, rows_max=1)
    assert [view.summary for view in (*first.effects, *second.effects)] == ["mine two", "mine one"]
    assert second.next is None
    cause = first.effects[0].chain[0].id
    assert len((await ledger.page(EffectFilter(cause=cause))).effects) == 2
    assert len((await ledger.page(EffectFilter(reference="order-1", recipient=PHONE))).effects) == 2
    assert (await ledger.page(EffectFilter(reference="order-2"))).effects == ()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"channel": 5}, "channel=5 is not a text"),
        ({"states": "accepted"}, "states='accepted' is not a tuple of Dispatch"),
        ({"states": ("accepted' OR 1=1",)}, 'states="accepted\' OR 1=1" is not a tuple of Dispatch'),
        ({"delivery": "read"}, "delivery='read' is not one of Delivery"),
        ({"requested_from": "yesterday"}, "requested_from='yesterday' is not a time"),
        ({"requested_to": datetime(2026, 1, 1)}, "has no time zone"),
    ],
)
async def test_a_filter_of_the_wrong_type_is_refused(start: Start, fields: dict[str, object], words: str) -> None:
    running = await start(desk, gateways=[gateway()])
    with pytest.raises(InvalidInput) as caught:
        await running.app.ledger("acme").page(EffectFilter(**fields))  # type: ignore[arg-type]
    assert words in str(caught.value)


async def test_a_page_has_bounds(start: Start) -> None:
    ledger = (await start(desk, gateways=[gateway()])).app.ledger("acme")
    for rows_max in (0, -1, 1_001):
        with pytest.raises(InvalidInput, match="a page has 1 to 1,000 rows"):
            await ledger.page(rows_max=rows_max)
    with pytest.raises(InvalidInput, match="is no cursor"):
        await ledger.page(after="' OR 1=1 --")
    state: object = "failed"
    with pytest.raises(InvalidInput, match="states='failed' is not a tuple of Dispatch"):
        await ledger.effects(state=state)  # type: ignore[arg-type]


# Exports.


async def gathered(pieces: AsyncIterator[str]) -> str:
    return "".join([piece async for piece in pieces])


async def test_an_export_as_csv_has_a_header_and_a_line_per_effect(start: Start) -> None:
    running = await both(start)
    text = await gathered(running.app.ledger("acme").export_csv())
    assert text.count("\r\n") == 3
    header, latest, first = csv.reader(io.StringIO(text, newline=""))
    assert header[:4] == ["id", "type", "channel", "recipient"]
    row = dict(zip(header, latest, strict=True))
    assert (row["summary"], row["state"], row["reference"], row["attempts"]) == ("mine two", "accepted", "order-1", "1")
    assert (row["cause"], row["policy"], row["delivery"]) == ("Send", "at_most_once", "")
    assert datetime.fromisoformat(row["requested_at"]).tzinfo is not None
    assert dict(zip(header, first, strict=True))["summary"] == "mine one"
    assert "theirs" not in text


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://evil")', 'a "b", c', "one\ntwo"])
async def test_no_value_of_a_csv_is_a_formula_and_none_is_lost(start: Start, text: str) -> None:
    running = await start(desk, gateways=[gateway()])
    await sent(running, text, reference=text.replace("\n", " "))
    exported = await gathered(running.app.ledger("acme").export_csv())
    header, row = csv.reader(io.StringIO(exported, newline=""))
    cells = dict(zip(header, row, strict=True))
    assert cells["recipient"] == f"'{PHONE}"
    reference = text.replace("\n", " ")
    assert cells["reference"] == (f"'{reference}" if reference[0] in "=+-@" else reference)
    assert not [cell for cell in row if cell[:1] in ("=", "+", "-", "@", "\t", "\r", "\n")]


async def test_an_export_as_json_lines_holds_what_the_view_shows(start: Start) -> None:
    running = await both(start)
    ledger = running.app.ledger("acme")
    lines = (await gathered(ledger.export_json_lines(EffectFilter(states=(Dispatch.ACCEPTED,))))).splitlines()
    effects = await ledger.all_effects()
    assert [json.loads(line) for line in lines] == [json.loads(msgspec.json.encode(view)) for view in effects]
    assert json.loads(lines[0])["attempts"][0]["outcome"] == "accepted"
    assert "theirs" not in "".join(lines)


async def test_an_export_has_one_page_in_hand_at_a_time(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_view, "EXPORT_PAGE_ROWS", 2)
    running = await start(desk, gateways=[gateway()], worker=False)
    await sent(running, *(f"text {number}" for number in range(7)))
    asked: list[int] = []
    page = TenantLedger.page

    async def counting(self: TenantLedger, *args: object, **options: object) -> object:
        found = await page(self, *args, **options)  # type: ignore[arg-type]
        asked.append(len(found.effects))
        return found

    monkeypatch.setattr(TenantLedger, "page", counting)
    lines: list[str] = []
    async for line in running.app.ledger("acme").export_json_lines():
        lines.append(line)
        assert sum(asked) - len(lines) < 2
    assert (len(lines), asked) == (7, [2, 2, 2, 1])


# Nobody else's.

Ask = Callable[[TenantLedger], Awaitable[object]]


def ledger_calls(theirs: str, cursor: str) -> dict[str, list[Ask]]:
    """Every method of the view, asked for what is another tenant's."""
    named = EffectFilter(reference="order-2")
    return {
        "page": [
            lambda ledger: ledger.page(),
            lambda ledger: ledger.page(after=cursor),
            lambda ledger: ledger.page(named),
            lambda ledger: ledger.page(EffectFilter(recipient=THEIRS)),
            lambda ledger: ledger.page(EffectFilter(requested_from=datetime(2000, 1, 1, tzinfo=UTC))),
        ],
        "effects": [lambda ledger: ledger.effects(), lambda ledger: ledger.effects(after=theirs)],
        "effect": [lambda ledger: _or_none(ledger.effect(theirs))],
        "all_effects": [lambda ledger: ledger.all_effects()],
        "export_csv": [
            lambda ledger: gathered(ledger.export_csv()),
            lambda ledger: gathered(ledger.export_csv(named)),
        ],
        "export_json_lines": [
            lambda ledger: gathered(ledger.export_json_lines()),
            lambda ledger: gathered(ledger.export_json_lines(named)),
        ],
        "anomalies": [lambda ledger: ledger.anomalies()],
        "paused": [lambda ledger: ledger.paused()],
    }


async def _or_none(asked: Awaitable[object]) -> object:
    try:
        return await asked
    except EffectNotFound as error:
        return error


def public(cls: type) -> set[str]:
    return {name for name, member in inspect.getmembers(cls, inspect.isfunction) if not name.startswith("_")}


async def test_no_method_of_the_view_shows_anything_of_another_tenant(start: Start) -> None:
    running = await both(start)
    (theirs,) = await running.effects("other")
    cursor = (await running.app.ledger("acme").page(rows_max=1)).next
    assert cursor is not None
    calls = ledger_calls(theirs.id, cursor)
    assert set(calls) == public(TenantLedger), "a new method of the view is asked, too"
    secrets = (theirs.chain[0].id, THEIRS, "theirs", "order-2", "their reason", "their pause", "their boss")
    ledger = running.app.ledger("acme")
    for name, asks in calls.items():
        for ask in asks:
            shown = repr(await ask(ledger)) + await gathered(ledger.export_json_lines())
            assert not [secret for secret in secrets if secret in shown], name
    assert "theirs" in repr(await running.effects("other"))


async def test_no_method_of_the_suppression_list_shows_anything_of_another_tenant(start: Start) -> None:
    running = await both(start)
    mine = running.app.suppressions("acme")
    number = "+4915111111111"
    asked = {
        "find": await mine.find("sms", number),
        "remove": await mine.remove("sms", number, reason="r", by="b"),
        "page": await mine.page(),
        "add": await mine.add("email", "somebody@example.com", reason="mine"),
    }
    assert set(asked) == public(SuppressionList)
    assert asked == {"find": None, "remove": False, "page": [], "add": True}
    assert await running.app.suppressions("other").find("sms", number) is not None


async def called(call: Callable[[], object]) -> object:
    result = call()
    return await result if inspect.isawaitable(result) else result


async def test_a_call_that_names_no_tenant_is_refused(start: Start) -> None:
    app = (await both(start)).app
    calls: dict[str, Callable[[], object]] = {
        "ledger": app.ledger,
        "suppressions": app.suppressions,
        "operate": lambda: app.operate(by="anna"),
        "pause": lambda: app.pause(reason="r", by="b"),
        "resume": lambda: app.resume(by="b"),
        "erase": lambda: app.erase("c-1", by="b", reason="r"),
        "parked": app.parked,
        "unpark": lambda: app.unpark(1),
    }
    for name, call in calls.items():
        with pytest.raises(InvalidTenant, match="No tenant was given"):
            await called(call)
        assert "tenant" in inspect.signature(getattr(Duly, name)).parameters
    for nonsense in ("", "acme' OR 1=1", "a" * 101, "ácme", "acme\0", "*", "%"):
        with pytest.raises(InvalidTenant, match="cannot name a tenant"):
            app.ledger(nonsense)
        with pytest.raises(InvalidTenant, match="cannot name a tenant"):
            app.suppressions(nonsense)


async def test_pages_of_two_tenants_do_not_mix_when_calls_are_cancelled(start: Start) -> None:
    running = await both(start)

    async def look(tenant: str) -> set[str]:
        page = await running.app.ledger(tenant).page(rows_max=1)
        return {view.tenant for view in page.effects}

    tenants = ["acme", "other"] * 60
    tasks = [asyncio.create_task(look(tenant)) for tenant in tenants]
    for turn, task in enumerate(tasks):
        if turn % 3 == 0:
            await asyncio.sleep(0)
            task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    whole = [(tenant, found) for tenant, found in zip(tenants, results, strict=True) if isinstance(found, set)]
    assert len(whole) >= 60
    assert all(found == {tenant} for tenant, found in whole)
