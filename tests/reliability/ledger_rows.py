"""What the database holds, read by a connection of our own: the checkers see this and the history, nothing else."""

from __future__ import annotations

import json

import msgspec

from duly.runtime.store_url import store_from_url


class AttemptRow(msgspec.Struct, frozen=True):
    """A row of the table of attempts."""

    effect_id: str
    number: int
    owner: str
    outcome: str | None
    evidence: str
    provider_id: str | None
    possible_duplicate: int
    started_ms: int
    ended_ms: int | None


class EffectRow(msgspec.Struct, frozen=True):
    """A row of the table of effects, with its attempts."""

    id: str
    reference: str
    gateway: str
    policy: str
    state: str
    reason: str
    due_ms: int | None
    lease_ms: int | None
    attempts: tuple[AttemptRow, ...]

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is under way, and nothing comes by itself."""
        return self.due_ms is None and self.lease_ms is None

    @property
    def marked(self) -> int:
        """How many attempts are marked as possible duplicates."""
        return sum(attempt.possible_duplicate for attempt in self.attempts)


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """All that the checkers look at."""

    effects: tuple[EffectRow, ...]
    orders: frozenset[str]
    tallies: dict[str, int]
    """How often the handler's own write was done, by order."""
    alarms: frozenset[str]
    """Ids of the effects that an anomaly is about."""
    undelivered: int
    parked: int


async def read_rows(url: str) -> Rows:
    """Everything that is in the database *url*."""
    prefix = "duly." if url.startswith("postgres") else "duly_"
    store = store_from_url(url)
    await store.open()

    async def select(statement: str) -> list[dict[str, object]]:
        return [dict(row) for row in await store.select(statement.replace("duly.", prefix), {})]

    try:
        attempts: dict[str, list[AttemptRow]] = {}
        for row in await select(
            "SELECT effect_id, number, owner, outcome, evidence, provider_id, possible_duplicate, started_ms, ended_ms "
            "FROM duly.attempt ORDER BY effect_id, number"
        ):
            attempt = msgspec.convert(row, AttemptRow)
            attempts.setdefault(attempt.effect_id, []).append(attempt)
        effects = [
            msgspec.convert({**row, "attempts": attempts.get(str(row["id"]), [])}, EffectRow)
            for row in await select(
                "SELECT id, coalesce(reference, '') AS reference, gateway, policy, state, reason, due_ms, lease_ms "
                "FROM duly.effect ORDER BY no"
            )
        ]
        documents = await select("SELECT type, id, body FROM duly.document")
        about = await select("SELECT about FROM duly.anomaly")
        ((undelivered, parked),) = [
            (int(str(row["waiting"])), int(str(row["parked"])))
            for row in await select(
                "SELECT (SELECT count(*) FROM duly.outbox) AS waiting, (SELECT count(*) FROM duly.parked) AS parked"
            )
        ]
    finally:
        await store.close()
    return Rows(
        effects=tuple(effects),
        orders=frozenset(str(row["id"]) for row in documents if row["type"] == "shop.Order"),
        tallies={
            str(row["id"]): int(json.loads(str(row["body"]))["count"])
            for row in documents
            if row["type"] == "shop.Tally"
        },
        alarms=frozenset(str(row["about"]) for row in about),
        undelivered=undelivered,
        parked=parked,
    )
