"""docs/what-the-ledger-says.md says what a run shows, on each store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reliability.ledger_page import PAGE, page
from tests.reliability.ledger_table import CRASHES, cells, moods_of_the_table
from tests.reliability.play import Databases
from tests.reliability.scenario import STORES

COMMAND = "python -m tests.reliability.ledger_table"


@pytest.mark.parametrize("store", STORES)
async def test_the_page_says_what_the_ledger_says_and_what_the_provider_took(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("postgres_server") if store == "postgres" else None
    found = page(await cells(Databases(tmp_path, server), tmp_path), moods_of_the_table(), list(CRASHES))
    written = PAGE.read_text() if PAGE.exists() else ""
    differing = [
        f"the page has:  {said}\nthe run shows: {shown}"
        for said, shown in zip(written.splitlines(), found.splitlines(), strict=False)
        if said != shown
    ]
    assert found == written, "\n".join([*differing, f"If that is meant, in the top folder: .venv/bin/{COMMAND}"])
