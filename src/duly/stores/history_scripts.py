"""Removing the histories of processes that have ended, as scripts.

An ended process hears nothing any more, and its document says that it has ended: no message that comes again is taken
for a new one when its history is gone.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import msgspec

from duly.clock import to_milliseconds
from duly.ports.housekeeping import HistoryStep, ProcessPlace
from duly.ports.processes import PROCESS_DOCUMENT
from duly.stores.engine import Engine
from duly.stores.script import Script, Statement, json_rows

# By primary key, from a place on, over the first step of each history.
SELECT_HISTORIES: Final = """
SELECT s.tenant, s.process, s.id,
       (SELECT max(l.at_ms) FROM duly.process_step AS l
         WHERE l.tenant = s.tenant AND l.process = s.process AND l.id = s.id) - (duly.now_ms() - :age_ms),
       (SELECT d.body FROM duly.document AS d
         WHERE d.tenant = s.tenant AND d.type = :prefix || s.process AND d.id = s.id)
  FROM duly.process_step AS s
 WHERE (s.tenant, s.process, s.id) > (:tenant, :process, :id) AND s.number = 1
 ORDER BY s.tenant, s.process, s.id LIMIT :rows_max
"""
# The lists keep PostgreSQL from reading all of the table.
DELETE_HISTORIES: Final = """
DELETE FROM duly.process_step
 WHERE tenant = ANY(:tenants) AND process = ANY(:processes) AND id = ANY(:ids)
   AND (tenant, process, id) IN (SELECT r.of_tenant, r.of_process, r.of_id
                                   FROM JSON_ROWS(:rows, of_tenant text, of_process text, of_id text) AS r)
"""


class _Ending(msgspec.Struct):
    is_ended: bool = False


_decoder: Final = msgspec.json.Decoder(_Ending)


def drop_histories_script(age: timedelta, after: ProcessPlace, rows_max: int) -> Script[HistoryStep]:
    """Remove histories of processes that have ended, among the next ones."""
    found = yield Statement(
        SELECT_HISTORIES,
        {
            "age_ms": to_milliseconds(age),
            "prefix": PROCESS_DOCUMENT,
            "tenant": after[0],
            "process": after[1],
            "id": after[2],
            "rows_max": rows_max,
        },
    )
    old = [
        {"of_tenant": tenant, "of_process": process, "of_id": process_id}
        for tenant, process, process_id, younger_ms, body in found.rows
        if younger_ms <= 0 and body is not None and _decoder.decode(body).is_ended
    ]
    dropped = 0
    if old:
        lists = {
            "tenants": sorted({row["of_tenant"] for row in old}),
            "processes": sorted({row["of_process"] for row in old}),
            "ids": [row["of_id"] for row in old],
        }
        dropped = (yield Statement(DELETE_HISTORIES, {**lists, "rows": json_rows(old)})).changed
    last = found.rows[-1] if len(found.rows) == rows_max else None
    return HistoryStep(dropped, None if last is None else (last[0], last[1], last[2]))


class SqlHistories:
    """The part of the store port that removes histories."""

    _engine: Engine

    async def drop_histories(self, age: timedelta, after: ProcessPlace, rows_max: int) -> HistoryStep:
        """Remove histories of processes that have ended, among the next ones."""
        return await self._engine.write(lambda: drop_histories_script(age, after, rows_max))
