"""The URL of a PostgreSQL database, and how we connect to it."""

from __future__ import annotations

from typing import Final, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import asyncpg

from duly.errors import StoreUnavailable, StoreUrlInvalid

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CONNECT_SECONDS_MAX: Final = 10
LOCK_TIMEOUT_MILLISECONDS: Final = 5_000
"""How long a statement waits for a row or a lane that another transaction holds."""
IDLE_IN_TRANSACTION_MILLISECONDS: Final = 60_000
"""How long a handler with SQL of its own may keep its transaction open without asking anything of the database."""
STATEMENTS_CACHED_MAX: Final = 256
SERVER_VERSION_MIN: Final = 15

# Read committed is what the checks after locks count on, whatever the database's own default. JIT compiles for
# milliseconds what runs for microseconds.
_SETTINGS: Final = {
    "lock_timeout": str(LOCK_TIMEOUT_MILLISECONDS),
    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MILLISECONDS),
    "default_transaction_isolation": "read committed",
    "jit": "off",
}


def checked_url(url: str) -> str:
    """*url* if it is one of PostgreSQL. Raises `StoreUrlInvalid`."""
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise StoreUrlInvalid(f"The store's URL makes no sense: {error}.") from None
    if scheme not in ("postgresql", "postgres"):
        raise StoreUrlInvalid(
            f"{scheme or url!r} is no scheme of a PostgreSQL store. Write postgresql://user:password@host:5432/database"
        )
    return url


def without_password(url: str) -> str:
    """*url* as it may stand in a log."""
    parts = urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    query = [(name, value) for name, value in parse_qsl(parts.query) if "password" not in name]
    return urlunsplit(
        parts._replace(netloc=user.partition(":")[0] + at + place, query=urlencode(query, quote_via=quote, safe="/"))
    )


async def connect(url: str) -> Connection:
    """A new connection. Raises asyncpg's errors, `OSError`, `StoreUrlInvalid`, `StoreUnavailable`."""
    named = "application_name" in dict(parse_qsl(urlsplit(url).query))
    try:
        connection = await asyncpg.connect(
            url,
            timeout=CONNECT_SECONDS_MAX,
            statement_cache_size=STATEMENTS_CACHED_MAX,
            max_cached_statement_lifetime=0,
            server_settings=_SETTINGS if named else {**_SETTINGS, "application_name": "duly"},
        )
    except ValueError as error:  # asyncpg.ClientConfigurationError is one too
        raise StoreUrlInvalid(
            f"{without_password(url)} is no URL of a PostgreSQL database: {error}. Write "
            "postgresql://user@host:5432/database"
        ) from None
    version = connection.get_server_version()
    if version.major < SERVER_VERSION_MIN:
        connection.terminate()
        raise StoreUnavailable(
            f"{without_password(url)} is PostgreSQL {version.major}; duly needs {SERVER_VERSION_MIN} or newer."
        )
    return connection
