"""The past of a subscriber as far as it is in the archive: counted, read, and put back to be promised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from duly.messages.envelope import Envelope
from duly.ports.replay import BEFORE_EVERYTHING, Place
from duly.stores.archived_events import Archive, ArchivedEvent, archives_script, envelope_of, personal_script
from duly.stores.script import Script, Statement, json_rows

ARCHIVED_ROWS_MAX: Final = 1_000
"""How many archived events are looked at in one step: a step holds their rows of the archive."""
LAST_ORDINAL: Final = 2**31 - 1

# What nobody who reads it has heard: committed before it heard by itself, and in no other backfill so far.
IS_NEW: Final = """c.at_ms < :heard_ms
           AND NOT EXISTS (SELECT 1 FROM duly.backfill AS b
                            WHERE b.tenant = :tenant AND b.subscriber_no = :backfilled AND b.id <> :own
                              AND c.at_ms >= b.since_ms AND c.at_ms < b.until_ms AND c.at_ms < b.heard_ms
                              AND (m.commit_id, m.ordinal) <= (b.commit_id, b.ordinal))"""
# By primary key from a place on, the rest by key: the LEFT JOIN and BETWEEN leave PostgreSQL no other way. What a
# backfill has put back is among the messages.
SELECT_ARCHIVED_PAST: Final = f"""
SELECT m.commit_id, m.ordinal, m.archive_id, m.place, c.at_ms, CASE WHEN {IS_NEW} THEN 1 ELSE 0 END
  FROM duly.archived_event AS m
  LEFT JOIN duly.commit_log AS c ON c.id BETWEEN m.commit_id AND m.commit_id
 WHERE (m.commit_id, m.ordinal) > (:after_commit, :after_ordinal)
   AND (m.commit_id, m.ordinal) <= (:last_commit, :last_ordinal)
   AND coalesce(c.tenant, '') = :tenant AND coalesce(c.at_ms, 0) >= :since_ms AND coalesce(c.at_ms, 0) < :until_ms
   AND NOT EXISTS (SELECT 1 FROM duly.message AS h
                    WHERE h.commit_id BETWEEN m.commit_id AND m.commit_id AND h.ordinal BETWEEN m.ordinal AND m.ordinal)
 ORDER BY m.commit_id, m.ordinal LIMIT :archived_max
"""
HAS_ARCHIVE: Final = "SELECT 1 FROM duly.archived_stream WHERE tenant = :tenant LIMIT 1"
SELECT_PLACES: Final = """
SELECT e.archive_id, e.place
  FROM JSON_ROWS(:rows, of_commit bigint, number integer) AS r
 CROSS JOIN duly.archived_event AS e
 WHERE e.commit_id BETWEEN r.of_commit AND r.of_commit AND e.ordinal BETWEEN r.number AND r.number
"""
INSERT_MESSAGES: Final = """
INSERT INTO duly.message (commit_id, ordinal, id, tenant, kind, name, version, subject, stream, stream_version, handler,
                          chain, trace, body)
SELECT r.of_commit, r.number, r.id, r.tenant, 'event', r.name, r.version, r.subject, r.stream, r.stream_version,
       r.handler, r.chain, r.trace, r.body
  FROM JSON_ROWS(:rows, of_commit bigint, number integer, id text, tenant text, name text, version integer,
                 subject text, stream text, stream_version integer, handler text, chain text, trace text, body text)
       AS r
 WHERE r.of_commit IS NOT NULL
ON CONFLICT DO NOTHING
"""


class _Found(msgspec.Struct, frozen=True):
    event: ArchivedEvent
    archive: Archive
    is_new: bool


class ArchivedCount(msgspec.Struct, kw_only=True):
    """How many archived events of one name there are."""

    new: int = 0
    heard: int = 0
    times_new: list[int] = []
    last_commit: int = 0


def count_archived_script(about: Mapping[str, object], names: Sequence[str]) -> Script[dict[str, ArchivedCount]]:
    """Count the archived events that a subscriber would hear, by name."""
    counts: dict[str, ArchivedCount] = {}
    after, last = BEFORE_EVERYTHING, (2**62, LAST_ORDINAL)
    has_archive = yield Statement(HAS_ARCHIVE, {"tenant": about["tenant"]})
    while has_archive.rows:
        found, after_or_none = yield from _step(about, names, after, last)
        for one in found:
            count = counts.setdefault(one.event.name, ArchivedCount())
            count.last_commit = max(count.last_commit, one.event.commit_id)
            if one.is_new:
                count.new += 1
                times = (*count.times_new, one.event.at_ms)
                count.times_new = [min(times), max(times)]
            else:
                count.heard += 1
        if after_or_none is None:
            break
        after = after_or_none
    return counts


def archived_past_script(
    about: Mapping[str, object], names: Sequence[str], after: Place, last: Place, rows_max: int
) -> Script[list[tuple[Place, Envelope]]]:
    """The first archived events from a place to another that a subscriber would hear, and has not heard."""
    wanted: list[_Found] = []
    has_archive = yield Statement(HAS_ARCHIVE, {"tenant": about["tenant"]})
    while has_archive.rows and len(wanted) < rows_max:
        found, after_or_none = yield from _step(about, names, after, last)
        wanted += [one for one in found if one.is_new]
        if after_or_none is None:
            break
        after = after_or_none
    wanted = wanted[:rows_max]
    if not wanted:
        return []
    personal = yield from personal_script(one.event.id for one in wanted)
    return [
        (
            (one.event.commit_id, one.event.ordinal),
            envelope_of(one.event, one.archive, personal.get(one.event.id)),
        )
        for one in wanted
    ]


def put_back_script(places: Iterable[Place]) -> Script[None]:
    """Copy those of these events that are in the archive to the messages, so that they can be promised."""
    rows: list[dict[str, object]] = [{"of_commit": commit, "number": ordinal} for commit, ordinal in places]
    found = yield Statement(SELECT_PLACES, {"rows": json_rows(rows)})
    if not found.rows:
        return
    archives = yield from archives_script(found.rows)
    messages: list[dict[str, object]] = []
    for archive_id, place in found.rows:
        archive = archives[archive_id]
        event = archive.event(place)
        fields = msgspec.structs.asdict(event)
        commit, ordinal = fields.pop("commit_id"), fields.pop("ordinal")
        del fields["position"], fields["at_ms"]
        whose = {"tenant": archive.tenant, "stream": archive.stream}
        messages.append({"of_commit": commit, "number": ordinal, **whose, **fields})
    yield Statement(INSERT_MESSAGES, {"rows": json_rows(messages)})


def _step(
    about: Mapping[str, object], names: Sequence[str], after: Place, last: Place
) -> Script[tuple[list[_Found], Place | None]]:
    """The next ones, and where to go on; None at the end."""
    found = yield Statement(
        SELECT_ARCHIVED_PAST,
        {
            **about,
            "after_commit": after[0],
            "after_ordinal": after[1],
            "last_commit": last[0],
            "last_ordinal": last[1],
            "archived_max": ARCHIVED_ROWS_MAX,
        },
    )
    archives = yield from archives_script([row[2:4] for row in found.rows])
    wanted: list[_Found] = []
    for _, _, archive_id, place, _, is_new in found.rows:
        event = archives[archive_id].event(place)
        if event.name in names:
            wanted.append(_Found(event, archives[archive_id], bool(is_new)))
    if len(found.rows) < ARCHIVED_ROWS_MAX:
        return wanted, None
    return wanted, (found.rows[-1][0], found.rows[-1][1])
