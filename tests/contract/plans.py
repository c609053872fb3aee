"""What the tests of PostgreSQL's plans share."""

from __future__ import annotations

from typing import Final

NO_VACUUM: Final = """
DO $$
DECLARE
    known record;
BEGIN
    FOR known IN SELECT relname FROM pg_class WHERE relnamespace = 'duly'::regnamespace AND relkind = 'r' LOOP
        EXECUTE format('ALTER TABLE duly.%I SET (autovacuum_enabled = off)', known.relname);
    END LOOP;
END
$$
"""
"""So that statistics come when the test asks for them, and not in the middle of it."""
