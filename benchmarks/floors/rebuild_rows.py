"""What the floors of rebuilds write: a second table beside the one that is read, then its name."""

from __future__ import annotations

from typing import Final

from benchmarks.floors.project_rows import TABLES

EVENTS_PER_BATCH: Final = 2_000
"""As many as duly's own rebuilds handle in one transaction."""

SHADOW: Final = TABLES[1].replace("basket_line", "basket_line_new", 1)
BEGIN: Final = (SHADOW, "INSERT INTO checkpoint VALUES ('basket_list_new', 0)")
SWAP: Final = (
    "ALTER TABLE basket_line RENAME TO basket_line_old",
    "ALTER TABLE basket_line_new RENAME TO basket_line",
    "DELETE FROM checkpoint WHERE name = 'basket_list'",
    "UPDATE checkpoint SET name = 'basket_list' WHERE name = 'basket_list_new'",
)
END: Final = "DROP TABLE basket_line_old"
