"""Documents of read models, as scripts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from duly.ports.projections import DocumentKey, ReadModelPlace, ReadModelRange, ReadModelWrite, StoredReadModel
from duly.stores.script import Script, Statement, json_rows

# Which generation is live is seen at the same moment as its documents: a swap shows the old ones or the new ones.
LIVE: Final = "(SELECT p.generation FROM duly.projection AS p WHERE p.name = :projection AND p.state = 'live')"
# A subquery in the list of columns, one for both columns, leaves PostgreSQL one way, by primary key: a join would be
# hashed, over all documents of the model.
BY_KEYS: Final = """
SELECT k.tenant, k.id,
       (SELECT m.schema || ' ' || m.body FROM duly.read_model AS m
         WHERE m.model = :model AND m.generation = {generation} AND m.tenant = k.tenant AND m.id = k.id)
  FROM JSON_ROWS(:keys, tenant text, id text) AS k
"""
IN_RANGE: Final = """
SELECT m.tenant, m.id, m.schema, m.body FROM duly.read_model AS m
 WHERE m.model = :model AND m.generation = {generation} AND m.tenant = :tenant AND m.id > :after
 ORDER BY m.id LIMIT :rows_max
"""
IN_RANGE_BY: Final = """
SELECT m.tenant, m.id, m.schema, m.body
  FROM (SELECT e.model, e.generation, e.tenant, e.id FROM duly.read_entry AS e
         WHERE e.model = :model AND e.generation = {generation} AND e.tenant = :tenant AND e.field = :field
           AND e.value = :value AND e.id > :after
         ORDER BY e.id LIMIT :rows_max) AS e
  JOIN duly.read_model AS m
    ON m.model = e.model AND m.generation = e.generation AND m.tenant = e.tenant AND m.id = e.id
 ORDER BY e.id
"""
PUT: Final = """
INSERT INTO duly.read_model (model, generation, tenant, id, schema, body)
SELECT r.model, :generation, r.tenant, r.id, r.version, r.body
  FROM JSON_ROWS(:rows, model text, tenant text, id text, version integer, body text) AS r
 WHERE TRUE
    ON CONFLICT (model, generation, tenant, id) DO UPDATE SET schema = excluded.schema, body = excluded.body
"""
REMOVE: Final = """
DELETE FROM duly.read_model
 WHERE generation = :generation
   AND (model, tenant, id) IN (SELECT r.model, r.tenant, r.id
                                 FROM JSON_ROWS(:rows, model text, tenant text, id text) AS r)
"""
REMOVE_ENTRIES: Final = """
DELETE FROM duly.read_entry
 WHERE generation = :generation
   AND (model, tenant, field, value, id) IN (
       SELECT r.model, r.tenant, r.field, r.value, r.id
         FROM JSON_ROWS(:rows, model text, tenant text, field text, value text, id text) AS r)
"""
ADD_ENTRIES: Final = """
INSERT INTO duly.read_entry (model, generation, tenant, field, value, id)
SELECT r.model, :generation, r.tenant, r.field, r.value, r.id
  FROM JSON_ROWS(:rows, model text, tenant text, field text, value text, id text) AS r
 WHERE TRUE
    ON CONFLICT (model, generation, tenant, field, value, id) DO NOTHING
"""


def read_models_script(place: ReadModelPlace, keys: Collection[DocumentKey]) -> Script[list[StoredReadModel]]:
    """Documents by their keys."""
    rows = json_rows([{"tenant": tenant, "id": document_id} for tenant, document_id in keys])
    found = yield Statement(BY_KEYS.format(generation=_generation_of(place)), {**_parameters(place), "keys": rows})
    stored: list[StoredReadModel] = []
    for tenant, document_id, schema_and_body in found.rows:
        if schema_and_body is not None:
            schema, _, body = schema_and_body.partition(" ")
            stored.append(StoredReadModel(tenant, document_id, int(schema), body))
    return stored


def read_models_in_script(place: ReadModelPlace, wanted: ReadModelRange) -> Script[list[StoredReadModel]]:
    """A stretch of documents."""
    text = IN_RANGE if wanted.field is None else IN_RANGE_BY
    parameters: dict[str, object] = {
        "tenant": wanted.tenant,
        "after": wanted.after,
        "rows_max": wanted.rows_max,
        "field": wanted.field,
        "value": wanted.value,
    }
    found = yield Statement(text.format(generation=_generation_of(place)), {**_parameters(place), **parameters})
    return [StoredReadModel(*row) for row in found.rows]


def write_read_models_script(generation: int, writes: Sequence[ReadModelWrite]) -> Script[None]:
    """Put and remove documents, with their findable values: a statement each for all of them."""
    put = [
        {"model": w.model, "tenant": w.tenant, "id": w.id, "version": w.schema, "body": w.body}
        for w in writes
        if w.body is not None
    ]
    removed = [{"model": w.model, "tenant": w.tenant, "id": w.id} for w in writes if w.body is None]
    entries_removed = [_entry(w, field, value) for w in writes for field, value in w.entries_removed]
    entries_added = [_entry(w, field, value) for w in writes for field, value in w.entries_added]
    for text, rows in ((PUT, put), (REMOVE, removed), (REMOVE_ENTRIES, entries_removed), (ADD_ENTRIES, entries_added)):
        if rows:
            yield Statement(text, {"generation": generation, "rows": json_rows(rows)})


def _entry(write: ReadModelWrite, field: str, value: str) -> dict[str, object]:
    return {"model": write.model, "tenant": write.tenant, "field": field, "value": value, "id": write.id}


def _generation_of(place: ReadModelPlace) -> str:
    return LIVE if place.generation is None else ":generation"


def _parameters(place: ReadModelPlace) -> dict[str, object]:
    return {"model": place.model, "projection": place.projection, "generation": place.generation}
