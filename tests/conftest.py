"""What all tests share: one PostgreSQL server, for those that ask for it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from duly.testing.postgres_server import PostgresServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server of this process's own; DULY_TEST_POSTGRES_BIN names the programs of another version."""
    programs = os.environ.get("DULY_TEST_POSTGRES_BIN")
    with PostgresServer(programs=Path(programs) if programs else None) as server:
        yield server
