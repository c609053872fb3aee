"""PostgreSQL 15 or newer, by asyncpg: the store for many workers. Needs the extra ``duly[postgres]``."""

from duly.errors import StoreUrlInvalid

try:
    import asyncpg as _asyncpg  # noqa: F401
except ImportError as missing:
    raise StoreUrlInvalid(
        "A store on PostgreSQL needs asyncpg, which is not installed. Run: pip install 'duly[postgres]'"
    ) from missing

from duly.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
