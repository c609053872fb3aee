"""``:name`` parameters are found where they are parameters, and nowhere else."""

from __future__ import annotations

import pytest

from duly.stores.placeholders import bind_numbered, bind_positional
from duly.stores.script import for_sqlite


@pytest.mark.parametrize(
    ("statement", "numbered", "positional", "names"),
    [
        ("SELECT :a, :b, :a", "SELECT $1, $2, $1", "SELECT ?, ?, ?", ("a", "b")),
        ("SELECT ':a', :b", "SELECT ':a', $1", "SELECT ':a', ?", ("b",)),
        ("SELECT 'it''s :a', :b", "SELECT 'it''s :a', $1", "SELECT 'it''s :a', ?", ("b",)),
        ('SELECT ":a", :b', 'SELECT ":a", $1', 'SELECT ":a", ?', ("b",)),
        ("SELECT :a::int", "SELECT $1::int", "SELECT ?::int", ("a",)),
        ("SELECT 1 -- :a\n, :b", "SELECT 1 -- :a\n, $1", "SELECT 1 -- :a\n, ?", ("b",)),
        ("SELECT /* :a */ :b", "SELECT /* :a */ $1", "SELECT /* :a */ ?", ("b",)),
        ("SELECT $$:a$$, $x$:a$x$, :b", "SELECT $$:a$$, $x$:a$x$, $1", "SELECT $$:a$$, $x$:a$x$, ?", ("b",)),
        ("SELECT '10:30', :a", "SELECT '10:30', $1", "SELECT '10:30', ?", ("a",)),
    ],
)
def test_parameters_are_found_outside_of_strings_names_comments_and_casts(
    statement: str, numbered: str, positional: str, names: tuple[str, ...]
) -> None:
    assert (bind_numbered(statement).statement, bind_numbered(statement).names) == (numbered, names)
    assert bind_positional(statement).statement == positional
    assert tuple(dict.fromkeys(bind_positional(statement).names)) == names


def test_our_own_statements_are_put_into_sqlites_words() -> None:
    text = for_sqlite("SELECT id FROM duly.outbox WHERE bucket = ANY(:buckets) FOR UPDATE SKIP LOCKED")
    assert text.text.strip() == "SELECT id FROM duly_outbox WHERE bucket IN (SELECT value FROM json_each(:buckets))"
    assert text.lists == {"buckets"}
