"""The throw-away server: it is there when it is needed, and gone afterwards, however its user ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from duly.testing.postgres_server import PostgresDidNotStart, PostgresServer
from tests.contract.waiting import PATIENCE_SECONDS

PROGRAM = """
from duly.testing.postgres_server import PostgresServer
with PostgresServer() as server:
    print(server.folder, server.pid, flush=True)
    input()
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_server_has_empty_databases_and_copies_of_them(postgres_server: PostgresServer) -> None:
    first = postgres_server.create_database()
    name = first.partition("?")[0].rpartition("/")[2]
    postgres_server.run_sql("CREATE TABLE kept (n integer); INSERT INTO kept VALUES (7)", database=name)
    copy = postgres_server.create_database(template=name)
    assert copy != first
    assert postgres_server.run_sql("SELECT n FROM kept", database=copy.partition("?")[0].rpartition("/")[2]) == "7"


def test_a_server_syncs_its_files_and_answers_nobody_on_the_network(postgres_server: PostgresServer) -> None:
    assert postgres_server.run_sql("SHOW fsync") == "on"
    assert postgres_server.run_sql("SHOW listen_addresses") == ""
    assert postgres_server.folder.stat().st_mode & 0o077 == 0


def test_a_server_takes_settings_and_goes_when_it_is_stopped() -> None:
    with PostgresServer(settings={"max_connections": "17"}) as server:
        assert server.run_sql("SHOW max_connections") == "17"
        folder, pid = server.folder, server.pid
        assert folder.exists()
    assert not folder.exists()
    assert not is_alive(pid)
    server.stop()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_goes_when_its_user_is_killed(end: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as user:
        assert user.stdout is not None
        folder, pid = user.stdout.readline().split()
        assert is_alive(int(pid))
        user.send_signal(end)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while is_alive(int(pid)) or Path(folder).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_folder_with_spaces_and_a_long_name_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("a folder " * 20)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    monkeypatch.chdir(deep)
    with PostgresServer() as server:
        assert server.run_sql("SELECT 1") == "1"


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(PostgresDidNotStart, match="did not start"), PostgresServer(programs=tmp_path):
        pass
    with (
        pytest.raises(PostgresDidNotStart, match="no_such_setting"),
        PostgresServer(settings={"no_such_setting": "1"}),
    ):
        pass


def test_a_statement_that_psql_refuses_is_quoted(postgres_server: PostgresServer) -> None:
    with pytest.raises(RuntimeError, match="SELEC 1"):
        postgres_server.run_sql("SELEC 1")
