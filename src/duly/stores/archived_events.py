"""Reading events of archived streams, as parts of scripts.

An event is looked for here after it was not found among the messages. Archiving moves it in one transaction, and what
is in the archive never leaves it: so the two looks need not be of the same moment. Who finds it twice (a backfill has
put a copy back) leaves one out.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from duly.messages.envelope import Envelope, Kind, decode_chain
from duly.ports.log import LogEvent
from duly.stores.script import Row, Script, Statement

COMPRESSION: Final = 9
"""Written once, read seldom."""


class ArchivedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of messages, with its position: a line of the archive. Tenant and stream are its row's."""

    position: int
    at_ms: int
    commit_id: int
    ordinal: int
    id: str
    name: str
    version: int
    subject: str | None
    stream_version: int | None
    handler: str
    chain: str
    trace: str | None
    body: str


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the archive, inflated."""

    tenant: str
    stream: str
    lines: list[bytes]

    def event(self, place: int) -> ArchivedEvent:
        """The event in a line."""
        return _decoder.decode(self.lines[place])

    def events(self) -> list[ArchivedEvent]:
        """All of them, in order."""
        return [_decoder.decode(line) for line in self.lines]


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(ArchivedEvent)


def deflated(events: Sequence[ArchivedEvent]) -> bytes:
    """Events as a row of the archive holds them."""
    return zlib.compress(_encoder.encode_lines(events), COMPRESSION)


def inflated(tenant: str, stream: str, body: bytes) -> Archive:
    """A row of the archive."""
    return Archive(tenant=tenant, stream=stream, lines=zlib.decompress(body).splitlines())


def envelope_of(event: ArchivedEvent, archive: Archive, personal: str | None) -> Envelope:
    """The message that an event was."""
    return Envelope(
        id=event.id,
        tenant=archive.tenant,
        kind=Kind.EVENT,
        name=event.name,
        version=event.version,
        body=event.body,
        personal=personal,
        subject=event.subject,
        stream=archive.stream,
        stream_version=event.stream_version,
        handler=event.handler,
        chain=decode_chain(event.chain),
        trace=event.trace,
    )


# The commits of the positions from :first to :last, over the index of their stretches; and what is at each, by key.
COMMITS: Final = """c.stretch >= coalesce((SELECT f.stretch FROM duly.log_commit AS f
                                            WHERE f.stretch <= :first ORDER BY f.stretch DESC LIMIT 1), 0)
                AND c.stretch <= :last
                AND c.first_position <= :last AND c.first_position + c.events > :first"""
STRETCH: Final = f"""{COMMITS}
                AND m.commit_id BETWEEN c.commit_id AND c.commit_id AND m.ordinal < c.events
                AND c.first_position + m.ordinal >= :first
                AND c.first_position + m.ordinal <= :last"""
SELECT_ARCHIVED_IN: Final = f"""
SELECT m.archive_id, m.place FROM duly.log_commit AS c CROSS JOIN duly.archived_event AS m
 WHERE {STRETCH}
"""
SELECT_ARCHIVES: Final = "SELECT id, tenant, stream, body FROM duly.archived_stream WHERE id = ANY(:ids)"
SELECT_PERSONAL: Final = "SELECT message_id, body FROM duly.personal WHERE message_id = ANY(:ids)"
SELECT_ARCHIVED_STREAM: Final = """
SELECT body FROM duly.archived_stream
 WHERE tenant = :tenant AND stream = :stream AND last_version > :after ORDER BY last_version, id
"""


def archives_script(places: Sequence[Row]) -> Script[dict[int, Archive]]:
    """The rows of the archive that *places* name first in each, by id."""
    ids = sorted({int(row[0]) for row in places})
    found = yield Statement(SELECT_ARCHIVES, {"ids": ids})
    return {row[0]: inflated(row[1], row[2], row[3]) for row in found.rows}


def personal_script(ids: Iterable[str]) -> Script[Mapping[str, str]]:
    """What there still is of personal fields, by id of message."""
    found = yield Statement(SELECT_PERSONAL, {"ids": list(ids)})
    return {str(row[0]): row[1] for row in found.rows}


def archived_in_script(
    first: int, last: int, names: Collection[str] | None, tenant: str | None
) -> Script[list[LogEvent]]:
    """Archived events of a stretch of the log, in no order."""
    places = yield Statement(SELECT_ARCHIVED_IN, {"first": first, "last": last})
    if not places.rows:
        return []
    archives = yield from archives_script(places.rows)
    wanted: list[tuple[ArchivedEvent, Archive]] = []
    for archive_id, place in places.rows:
        archive = archives[archive_id]
        if tenant is not None and archive.tenant != tenant:
            continue
        event = archive.event(place)
        if names is None or event.name in names:
            wanted.append((event, archive))
    personal = yield from personal_script(event.id for event, _ in wanted)
    return [
        LogEvent(
            position=event.position,
            at_ms=event.at_ms,
            id=event.id,
            tenant=archive.tenant,
            name=event.name,
            version=event.version,
            body=event.body,
            personal=personal.get(event.id),
            stream=archive.stream,
            stream_version=event.stream_version,
            chain=event.chain,
        )
        for event, archive in wanted
    ]


def archived_stream_script(tenant: str, stream: str, after: int) -> Script[list[Row]]:
    """The archived events of an event-sourced aggregate after a number, as a stream has them, in order."""
    found = yield Statement(SELECT_ARCHIVED_STREAM, {"tenant": tenant, "stream": stream, "after": after})
    events = [event for row in found.rows for event in inflated(tenant, stream, row[0]).events()]
    personal = yield from personal_script(event.id for event in events)
    return [
        (event.stream_version, event.version, event.name, event.body, personal.get(event.id))
        for event in events
        if event.stream_version is not None and event.stream_version > after
    ]
