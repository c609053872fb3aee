"""Reading eventsourcing's notification log by 1,000.

Documentation: eventsourcing.readthedocs.io, "application", *Notification log*: ``notification_log.select()``; a page is
at most ``log_section_size``. What comes are notifications with the event's state as bytes.
"""

from __future__ import annotations

from benchmarks.measured import Measured, Stopwatch
from benchmarks.peers.asked import Asked, serve
from benchmarks.peers.programs.eventsourcing_accounts import Accounts, filled
from benchmarks.peers.programs.eventsourcing_place import settings
from benchmarks.peers.programs.values import PAGE_EVENTS

EVENTS_PER_STREAM = 2
STREAMS_PER_SAVE = 500


def fill(asked: Asked) -> None:
    """So many events, two to a stream, many streams to a save."""
    streams = asked.operations // EVENTS_PER_STREAM
    with Accounts(settings(asked.url, 1, is_tuned=asked.is_tuned)) as accounts:
        for first in range(0, streams, STREAMS_PER_SAVE):
            numbers = range(first, min(first + STREAMS_PER_SAVE, streams))
            accounts.save(*(filled(f"account-{number}", EVENTS_PER_STREAM) for number in numbers))


def measure(asked: Asked) -> Measured:
    """The log from its first event to its last."""
    seen, start = 0, 1
    with Accounts(settings(asked.url, 1, is_tuned=asked.is_tuned)) as accounts:
        log = accounts.notification_log
        log.select(start=1, limit=1)
        with Stopwatch() as watch:
            while page := log.select(start=start, limit=PAGE_EVENTS):
                seen += len(page)
                start = page[-1].id + 1
    return watch.measured(asked.operations, {"events read": seen})


if __name__ == "__main__":
    serve(measure, fill)
