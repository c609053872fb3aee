"""procrastinate's jobs in a database of the benchmarks.

Documentation: procrastinate.readthedocs.io, *Launch a worker*, *Batch defer multiple jobs*; for the tuned form *Execute
multiple jobs at the same time* (``concurrency``), *Mind the size of your PostgreSQL pool* (as many connections as the
concurrency, plus one) and *Delete finished jobs* (``delete_jobs``).
"""

from __future__ import annotations

import logging

from procrastinate import App, PsycopgConnector

CONCURRENCY_TUNED = 10
"""The documentation's example has 30; on two cores that was no faster."""


def application(url: str, *, is_tuned: bool) -> App:
    """An application without tasks, not yet open. It tells of each job at INFO; nobody listens here."""
    logging.getLogger("procrastinate").setLevel(logging.WARNING)
    if not is_tuned:
        return App(connector=PsycopgConnector(conninfo=url))
    connector = PsycopgConnector(conninfo=url, min_size=CONCURRENCY_TUNED + 1, max_size=CONCURRENCY_TUNED + 1)
    return App(connector=connector, worker_defaults={"concurrency": CONCURRENCY_TUNED, "delete_jobs": "successful"})
