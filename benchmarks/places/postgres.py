"""A throw-away PostgreSQL server, started when the first benchmark asks for it; fsync is on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.benchmark import NotRun
from benchmarks.counting import counted_postgres
from benchmarks.loop import run
from benchmarks.spending import metered

if TYPE_CHECKING:
    from benchmarks.places.server_meter import ServerMeter
    from duly.testing.postgres_server import PostgresServer


class PostgresPlace:
    """One server for all benchmarks of a run, one database for each measurement."""

    store: Final = "postgres"

    def __init__(self) -> None:
        self._server: PostgresServer | None = None
        self._refusal: str | None = None
        self._meter: ServerMeter | None = None

    def open(self) -> None:
        """Start the server. Raises `NotRun` when duly has no PostgreSQL store, or no server can be had."""
        if self._refusal is not None:
            raise NotRun(self._refusal)
        if self._server is not None:
            return
        try:
            self._server = _started()
        except NotRun as refusal:
            self._refusal = str(refusal)
            raise

    def close(self) -> None:
        """Stop the server; everything in it goes."""
        meter, self._meter = self._meter, None
        if meter is not None:
            meter.close()
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    @contextmanager
    def metered(self, *, counting: bool) -> Iterator[None]:
        """Statements and round trips are counted, or the server's log and processor time are read."""
        if counting:
            with counted_postgres() as tally, metered(tally):
                yield
            return
        if self._meter is None:
            from benchmarks.places.server_meter import ServerMeter

            self._meter = ServerMeter(self._opened.url(), self._opened.pid)
        with metered(self._meter):
            yield

    def create(self, *, copy_of: str | None = None) -> str:
        """A new database."""
        return self._opened.create_database(template=None if copy_of is None else _name(copy_of))

    def remove(self, url: str) -> None:
        """Drop a database, its connections included."""
        self._opened.run_sql(f'DROP DATABASE "{_name(url)}" WITH (FORCE)')

    def count(self, url: str, query: str) -> int:
        """The number that *query* selects."""
        return run(_count(url, query))

    @property
    def _opened(self) -> PostgresServer:
        if self._server is None:
            raise RuntimeError("The place is not open.")
        return self._server


def _started() -> PostgresServer:
    try:
        import asyncpg  # noqa: F401

        from duly.stores.postgres import PostgresStore  # noqa: F401
        from duly.testing.postgres_server import PostgresDidNotStart, PostgresServer
    except ImportError as error:
        raise NotRun(f"duly's PostgreSQL store cannot be imported ({error})") from None
    server = PostgresServer()
    try:
        server.start()
    except PostgresDidNotStart as error:
        raise NotRun(f"no PostgreSQL server: {error}") from None
    return server


async def _count(url: str, query: str) -> int:
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(query))
    finally:
        await connection.close()


def _name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]
