-- Version 1. Times are milliseconds since 1970-01-01T00:00Z, by the database's clock. Keys compare byte by byte
-- (COLLATE "C"), as Python sorts them, so that every process takes locks in the same order.

CREATE SCHEMA duly;

CREATE TABLE duly.schema (
    version integer NOT NULL
);

-- The statements of the modules' own tables that were run here.
CREATE TABLE duly.module_table (
    digest    text COLLATE "C" NOT NULL PRIMARY KEY,
    statement text NOT NULL
);

CREATE TABLE duly.inbox (
    tenant       text COLLATE "C" NOT NULL,
    id           text COLLATE "C" NOT NULL,
    name         text NOT NULL,
    digest       text NOT NULL,
    token        text NOT NULL,                  -- which execution wrote it; in a tombstone one or more of them
    is_tombstone integer NOT NULL DEFAULT 0,     -- these executions shall never commit
    result       text NOT NULL,
    expires_ms   bigint NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- Room in each page keeps a new version beside the old one, out of the index.
CREATE TABLE duly.document (
    tenant  text COLLATE "C" NOT NULL,
    type    text COLLATE "C" NOT NULL,
    id      text COLLATE "C" NOT NULL,
    version bigint NOT NULL,                     -- changes; in the upper half the life of the id
    schema  integer NOT NULL,
    body    text NOT NULL,
    PRIMARY KEY (tenant, type, id)
) WITH (fillfactor = 80);

-- Findable values: slot is '' for a unique one, so that the key refuses a second; else the aggregate's id.
CREATE TABLE duly.entry (
    tenant text COLLATE "C" NOT NULL,
    type   text COLLATE "C" NOT NULL,
    field  text COLLATE "C" NOT NULL,
    value  text COLLATE "C" NOT NULL,
    slot   text COLLATE "C" NOT NULL,
    id     text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, type, field, value, slot)
);

-- One row per commit that raised messages.
CREATE TABLE duly.commit_log (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    events integer NOT NULL,
    at_ms  bigint NOT NULL
);

-- The positions that a sequencer gave in one step: those of the events of commit_ids[n] begin at first_position + befores[n].
-- What is written once per step, and not once per commit, costs next to nothing; see ADR-0018.
CREATE TABLE duly.log_stretch (
    first_position bigint NOT NULL PRIMARY KEY,
    next_position  bigint NOT NULL,              -- behind the last one
    seen           bigint NOT NULL,              -- no commit behind this id was looked at then
    commit_ids     bigint[] NOT NULL,
    befores        integer[] NOT NULL,
    events         integer[] NOT NULL,
    at_ms          bigint[] NOT NULL             -- as in commit_log, so that readers need not look there
);
CREATE INDEX log_stretch_seen ON duly.log_stretch (seen);

-- How far the sequencers are. The row is their lock, taken in a statement of its own. Nobody else reads it: it is written
-- often, and while a snapshot is held, what it was lies about.
CREATE TABLE duly.sequencer (
    next_position bigint NOT NULL DEFAULT 1,
    seen          bigint NOT NULL DEFAULT 0,     -- the last commit that was looked at
    missing       int8multirange NOT NULL DEFAULT '{}', -- ids up to it that nobody saw: under way still, or taken back
    doubted       int8multirange NOT NULL DEFAULT '{}', -- those of them that were drawn before doubted_by began
    doubted_by    xid8
);
INSERT INTO duly.sequencer DEFAULT VALUES;

-- The position that the next event gets. A function, and not safe to run in parallel, so that no statement that asks for
-- it is planned in parallel: PostgreSQL takes a page of the log for much more than it is, and would read all stretches.
CREATE FUNCTION duly.next_position() RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
AS $$
BEGIN
    RETURN coalesce((SELECT s.next_position FROM duly.log_stretch AS s ORDER BY s.first_position DESC LIMIT 1), 1);
END
$$;
CREATE VIEW duly.log_head AS SELECT duly.next_position() AS next_position;

-- Where the events of each commit are. Whoever looks for a position bounds the stretch, which is indexed.
CREATE VIEW duly.log_commit AS
SELECT s.first_position AS stretch, c.commit_id, s.first_position + c.before AS first_position, c.events, c.at_ms
  FROM duly.log_stretch AS s
 CROSS JOIN unnest(s.commit_ids, s.befores, s.events, s.at_ms) AS c (commit_id, before, events, at_ms);

-- Commits whose events have no position yet.
CREATE VIEW duly.unnumbered AS
SELECT c.id FROM duly.commit_log AS c
 WHERE c.id > (SELECT h.seen FROM duly.sequencer AS h) AND c.events > 0
UNION ALL
SELECT c.id
  FROM duly.sequencer AS h CROSS JOIN unnest(h.missing) AS gap (ids)
  JOIN duly.commit_log AS c ON c.id >= lower(gap.ids) AND c.id < upper(gap.ids)
 WHERE c.events > 0;

-- A sequencer's step: gives positions to the events of commits that have none, in the order of their ids; to how many
-- commits. Ids of one stream follow its commits, since they are drawn under the lock of its document. What is not
-- committed yet is missing: it is looked for again in each step, numbered when it is seen, and holds nobody up.
--
-- Each statement sees what was committed before it: whoever waited for the head sees what the one before has looked at.
-- A function, so that no client can stop between the statements, with the head locked. Source: ADR-0018.
--
-- A missing id is forgotten when every transaction that may have drawn it has ended, and it still is not there. Ids are
-- drawn with a transaction id in hand: those missing since the last step are older than this step's own. That all of
-- them have ended must be known before the look that does not find them.
CREATE FUNCTION duly.number_commits(commits_max integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
DECLARE
    head       duly.sequencer;
    is_decided boolean;
    visible    int8multirange;
    last_id    bigint;
    looked_at  integer;
    stretch    duly.log_stretch;
    given      integer;
BEGIN
    PERFORM 1 FROM duly.sequencer AS h
      WHERE EXISTS (SELECT 1 FROM duly.commit_log AS c WHERE c.id > h.seen)
         OR EXISTS (SELECT 1 FROM unnest(h.missing) AS gap (ids)
                      JOIN duly.commit_log AS c ON c.id >= lower(gap.ids) AND c.id < upper(gap.ids));
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    LOOP
        SELECT * INTO head FROM duly.sequencer FOR UPDATE;
        -- A number from the future is from another server, where this database was restored from: nothing is under way.
        is_decided := head.doubted_by < pg_snapshot_xmin(pg_current_snapshot())
                   OR head.doubted_by > pg_current_xact_id();
        SELECT range_agg(int8range(f.id, f.id + 1)), max(f.id), count(*),
               array_agg(f.id ORDER BY f.id) FILTER (WHERE f.events > 0),
               array_agg(f.before ORDER BY f.id) FILTER (WHERE f.events > 0),
               array_agg(f.events ORDER BY f.id) FILTER (WHERE f.events > 0),
               array_agg(f.at_ms ORDER BY f.id) FILTER (WHERE f.events > 0),
               sum(f.events)
          INTO visible, last_id, looked_at, stretch.commit_ids, stretch.befores, stretch.events, stretch.at_ms, given
          FROM (SELECT seen.id, seen.events, seen.at_ms,
                       sum(seen.events) OVER (ORDER BY seen.id) - seen.events AS before
                  FROM (SELECT c.id, c.events, c.at_ms
                          FROM unnest(head.missing) AS gap (ids)
                          JOIN duly.commit_log AS c ON c.id >= lower(gap.ids) AND c.id < upper(gap.ids)
                        UNION ALL
                        (SELECT c.id, c.events, c.at_ms FROM duly.commit_log AS c
                          WHERE c.id > head.seen ORDER BY c.id LIMIT commits_max)) AS seen) AS f;
        IF looked_at = 0 THEN
            RETURN 0;
        END IF;
        IF head.doubted_by IS NULL AND NOT isempty(head.missing) THEN
            head.doubted := head.missing;
            head.doubted_by := pg_current_xact_id();
        END IF;
        head.missing := head.missing + int8multirange(int8range(head.seen + 1, greatest(head.seen, last_id) + 1)) - visible;
        IF is_decided THEN
            head.missing := head.missing - head.doubted;
            head.doubted := '{}';
            head.doubted_by := NULL;
        END IF;
        head.seen := greatest(head.seen, last_id);
        IF given > 0 THEN
            INSERT INTO duly.log_stretch (first_position, next_position, seen, commit_ids, befores, events, at_ms)
            VALUES (head.next_position, head.next_position + given, head.seen, stretch.commit_ids, stretch.befores,
                    stretch.events, stretch.at_ms);
        END IF;
        UPDATE duly.sequencer
           SET next_position = head.next_position + given, seen = head.seen, missing = head.missing,
               doubted = head.doubted, doubted_by = head.doubted_by;
        IF given > 0 THEN
            RETURN cardinality(stretch.commit_ids);
        ELSIF looked_at < commits_max THEN
            RETURN 0;
        END IF;
    END LOOP;
END
$$;

-- The position of the last event of a commit, of one without events that of the last before it; NULL until it is known.
CREATE FUNCTION duly.position_of(commit bigint) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
AS $$
DECLARE
    head  duly.sequencer;
    known bigint;
BEGIN
    SELECT * INTO head FROM duly.sequencer;
    PERFORM 1 FROM duly.commit_log AS c WHERE c.id = commit AND c.events > 0;
    IF FOUND THEN
        IF commit > head.seen OR head.missing @> commit THEN
            RETURN NULL;
        END IF;
        SELECT s.first_position + s.befores[p.place] + s.events[p.place] - 1 INTO known
          FROM duly.log_stretch AS s CROSS JOIN array_position(s.commit_ids, commit) AS p (place)
         WHERE s.seen >= commit AND p.place IS NOT NULL ORDER BY s.seen, s.first_position LIMIT 1;
        RETURN known;
    END IF;
    PERFORM 1 FROM duly.unnumbered AS u WHERE u.id < commit LIMIT 1;
    IF FOUND THEN
        RETURN NULL;
    END IF;
    SELECT s.first_position - 1 + coalesce(
           (SELECT max(c.before + c.events) FROM unnest(s.commit_ids, s.befores, s.events) AS c (id, before, events)
             WHERE c.id < commit), 0)
      INTO known FROM duly.log_stretch AS s WHERE s.seen >= commit ORDER BY s.seen, s.first_position LIMIT 1;
    RETURN coalesce(known, head.next_position - 1);
END
$$;

-- States of event-sourced aggregates, so that not every event need be read. The head of a stream is its document row.
CREATE TABLE duly.snapshot (
    tenant  text COLLATE "C" NOT NULL,
    type    text COLLATE "C" NOT NULL,
    id      text COLLATE "C" NOT NULL,
    version integer NOT NULL,                    -- the stream's version that it was taken at
    schema  integer NOT NULL,
    body    text NOT NULL,
    PRIMARY KEY (tenant, type, id)
);

-- The event log and everything else that was said; never updated. Domain events come first in their commit.
CREATE TABLE duly.message (
    commit_id      bigint NOT NULL,
    ordinal        integer NOT NULL,
    id             text COLLATE "C" NOT NULL,
    tenant         text COLLATE "C" NOT NULL,
    kind           text NOT NULL,
    name           text NOT NULL,
    version        integer NOT NULL,
    subject        text,
    stream         text COLLATE "C",
    stream_version integer,
    handler        text NOT NULL,
    chain          text NOT NULL,
    trace          text,
    body           text NOT NULL,
    PRIMARY KEY (commit_id, ordinal)
);
CREATE INDEX message_stream ON duly.message (tenant, stream, stream_version) WHERE kind = 'event';

-- Messages that a sweep would have removed, had they not been promised: the next one looks at them again.
CREATE TABLE duly.message_left (
    commit_id bigint  NOT NULL,
    ordinal   integer NOT NULL,
    PRIMARY KEY (commit_id, ordinal)
);

-- Events of streams that are finished, some dozens in a row: JSON lines, deflated (RFC 1950). Their personal fields stay
-- in personal. Where each of them is says archived_event; readers of the log find them over their commits.
CREATE TABLE duly.archived_stream (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant         text COLLATE "C" NOT NULL,
    stream         text COLLATE "C" NOT NULL,
    first_position bigint NOT NULL,
    last_position  bigint NOT NULL,
    first_version  integer NOT NULL,
    last_version   integer NOT NULL,
    events         integer NOT NULL,
    body           bytea NOT NULL,
    at_ms          bigint NOT NULL,
    by_whom        text NOT NULL,
    reason         text NOT NULL
);
ALTER TABLE duly.archived_stream ALTER COLUMN body SET STORAGE EXTERNAL;  -- it is compressed already
CREATE INDEX archived_stream_version ON duly.archived_stream (tenant, stream, last_version, id);
CREATE INDEX archived_stream_position ON duly.archived_stream (last_position);
CREATE TABLE duly.archived_event (
    commit_id  bigint  NOT NULL,
    ordinal    integer NOT NULL,
    place      integer NOT NULL,                 -- its line, from 0
    archive_id bigint  NOT NULL,
    PRIMARY KEY (commit_id, ordinal)
);

-- The position of the last event of each commit; NULL until it is known.
CREATE VIEW duly.commit_position AS
SELECT c.id AS commit_id, c.events, duly.position_of(c.id) AS last_position FROM duly.commit_log AS c;

-- Personal fields beside the immutable row, keyed by subject, so that erasing a person is a delete.
CREATE TABLE duly.personal (
    message_id text COLLATE "C" NOT NULL PRIMARY KEY,
    tenant     text COLLATE "C" NOT NULL,
    subject    text COLLATE "C" NOT NULL,
    body       text NOT NULL
);
CREATE INDEX personal_subject ON duly.personal (tenant, subject);

CREATE TABLE duly.subscriber (
    no       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name     text COLLATE "C" NOT NULL UNIQUE,
    since_ms bigint NOT NULL                         -- what was committed before was not promised to it
);

-- Requests to let a subscriber hear the past, each with how far it has come: the last message that was promised.
CREATE TABLE duly.backfill (
    id            text COLLATE "C" NOT NULL PRIMARY KEY,
    tenant        text COLLATE "C" NOT NULL,
    subscriber_no integer NOT NULL,
    since_ms      bigint NOT NULL,
    until_ms      bigint NOT NULL,
    heard_ms      bigint NOT NULL,                   -- what was committed from then on is left out: it was heard
    through       bigint NOT NULL,                   -- the last commit that it is about
    commit_id     bigint NOT NULL,
    ordinal       integer NOT NULL,
    total         bigint NOT NULL,
    promised      bigint NOT NULL,
    by_whom       text NOT NULL,
    reason        text NOT NULL,
    begun_ms      bigint NOT NULL,
    ended_ms      bigint
);
CREATE UNIQUE INDEX backfill_unfinished ON duly.backfill (tenant, subscriber_no) WHERE ended_ms IS NULL;
CREATE INDEX backfill_subscriber ON duly.backfill (tenant, subscriber_no, begun_ms);

-- Promises: one narrow row per (message, subscriber); inserted and deleted, never updated. Ids are drawn one by one
-- (CACHE 1), so that within a lane they follow the order of commits. Swept often: what was delivered is dead at once.
CREATE TABLE duly.outbox (
    id            bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    subscriber_no integer NOT NULL,
    bucket        integer NOT NULL,
    lane          text COLLATE "C" NOT NULL,
    commit_id     bigint NOT NULL,
    ordinal       integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

-- How far rows of the outbox are numbered, and a transaction that began after that was read. Who writes to the outbox
-- has its transaction id before it draws a number. So rows up to `last` are decided, and those that are committed are
-- seen, by every snapshot in which all transactions up to `transaction` have ended. Source: ADR-0026.
--
-- The empty message is written to the log of the database alone, so that the commit waits for it: what was drawn before
-- is on disk then, and a crash takes no number back.
CREATE FUNCTION duly.outbox_mark(OUT last bigint, OUT transaction bigint)
    LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END INTO last FROM duly.outbox_id_seq AS s;
    PERFORM pg_logical_emit_message(true, 'duly', '');
    transaction := pg_current_xact_id()::text::bigint;
END
$$;

-- Promises that wait for their time; then they go to the outbox, and their order counts from there.
CREATE TABLE duly.later (
    tenant        text COLLATE "C" NOT NULL,
    id            text COLLATE "C" NOT NULL,     -- what it is cancelled by
    due_ms        bigint NOT NULL,
    subscriber_no integer NOT NULL,
    bucket        integer NOT NULL,
    lane          text COLLATE "C" NOT NULL,
    commit_id     bigint NOT NULL,
    ordinal       integer NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX later_due ON duly.later (due_ms);
CREATE INDEX later_message ON duly.later (commit_id, ordinal);

-- What each process heard, and what it decided: enough to run the past against new code.
CREATE TABLE duly.process_step (
    tenant        text COLLATE "C" NOT NULL,
    process       text COLLATE "C" NOT NULL,
    id            text COLLATE "C" NOT NULL,
    number        integer NOT NULL,
    message_id    text COLLATE "C" NOT NULL,
    kind          text NOT NULL,
    name          text NOT NULL,
    version       integer NOT NULL,
    body          text NOT NULL,
    decision      text NOT NULL,
    at_ms         bigint NOT NULL,
    PRIMARY KEY (tenant, process, id, number)
);

-- How far each projection has come: one row for what is read, one more while a shadow is built.
CREATE TABLE duly.projection (
    name        text COLLATE "C" NOT NULL,
    generation  integer NOT NULL,
    state       text NOT NULL,                   -- live, building, old
    digest      text NOT NULL,                   -- of its tables and version, as it was begun
    tables      text NOT NULL,                   -- their plain names
    position    bigint NOT NULL,                 -- of the last event that it has seen
    owner       text,
    until_ms    bigint NOT NULL DEFAULT 0,
    attempts    integer NOT NULL DEFAULT 0,
    retry_ms    bigint NOT NULL DEFAULT 0,
    reason      text NOT NULL DEFAULT '',
    started_ms  bigint NOT NULL,
    changed_ms  bigint NOT NULL,
    PRIMARY KEY (name, generation)
);

-- Read models that are documents; those of a shadow have its generation.
CREATE TABLE duly.read_model (
    model      text COLLATE "C" NOT NULL,
    generation integer NOT NULL,
    tenant     text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    schema     integer NOT NULL,
    body       text NOT NULL,
    PRIMARY KEY (model, generation, tenant, id)
);
CREATE TABLE duly.read_entry (
    model      text COLLATE "C" NOT NULL,
    generation integer NOT NULL,
    tenant     text COLLATE "C" NOT NULL,
    field      text COLLATE "C" NOT NULL,
    value      text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    PRIMARY KEY (model, generation, tenant, field, value, id)
);

-- Only a failing lane has a row. until_ms NULL: until a person lets it go.
CREATE TABLE duly.lane_hold (
    subscriber_no integer NOT NULL,
    lane          text COLLATE "C" NOT NULL,
    head_id       bigint NOT NULL,
    attempts      integer NOT NULL,
    until_ms      bigint,
    reason        text NOT NULL,
    PRIMARY KEY (subscriber_no, lane)
);
CREATE INDEX lane_hold_until ON duly.lane_hold (until_ms);

CREATE TABLE duly.parked (
    id            bigint PRIMARY KEY,
    tenant        text COLLATE "C" NOT NULL,
    subscriber_no integer NOT NULL,
    bucket        integer NOT NULL,
    lane          text COLLATE "C" NOT NULL,
    commit_id     bigint NOT NULL,
    ordinal       integer NOT NULL,
    attempts      integer NOT NULL,
    reason        text NOT NULL,
    parked_ms     bigint NOT NULL
);
CREATE INDEX parked_tenant ON duly.parked (tenant, id);

CREATE TABLE duly.worker (
    owner    text COLLATE "C" NOT NULL PRIMARY KEY,
    until_ms bigint NOT NULL
);

CREATE TABLE duly.bucket (
    bucket   integer PRIMARY KEY,
    owner    text COLLATE "C",
    token    text,
    until_ms bigint NOT NULL DEFAULT 0
);
INSERT INTO duly.bucket (bucket) SELECT generate_series(0, 31);

-- due_ms is when the next step of an effect (`step`) may be taken; NULL when nothing comes by itself.
CREATE TABLE duly.effect (
    no               bigint GENERATED ALWAYS AS IDENTITY NOT NULL, -- order of request, for pages; may have gaps
    id               text COLLATE "C" NOT NULL PRIMARY KEY,
    tenant           text COLLATE "C" NOT NULL,
    type             text NOT NULL,
    channel          text COLLATE "C" NOT NULL,
    gateway          text COLLATE "C" NOT NULL,
    policy           text NOT NULL,
    key              text NOT NULL,
    digest           text NOT NULL,
    reference        text COLLATE "C",                               -- what the application finds it by
    correlation      text COLLATE "C" NOT NULL,                      -- id of the first message of the chain
    destination      text COLLATE "C" NOT NULL DEFAULT '',
    urgent           integer NOT NULL DEFAULT 0,
    barred           text NOT NULL DEFAULT '',           -- why it shall never be attempted
    resend_of        text,
    resends          integer NOT NULL DEFAULT 0,         -- how often it was sent again, each as an effect of its own
    state            text COLLATE "C" NOT NULL,
    reason           text NOT NULL DEFAULT '',
    hold             text COLLATE "C" NOT NULL DEFAULT '',           -- what it is held by
    step             text COLLATE "C" NOT NULL DEFAULT 'attempt',
    origin           text NOT NULL DEFAULT 'scheduled',  -- who ordered the next attempt
    provider_id      text COLLATE "C",
    delivery         text,                               -- what receipts reported
    delivery_ms      bigint,
    confirm_by_ms    bigint,                            -- when reports stop to be expected
    reported         integer NOT NULL DEFAULT 0,         -- whether receipts wait for its attempt to end
    handler          text NOT NULL,
    chain            text NOT NULL,
    trace            text,
    counted          integer NOT NULL DEFAULT 0,         -- attempts that count against the schedule
    attempts         integer NOT NULL DEFAULT 0,
    unsettled        integer NOT NULL DEFAULT 0,         -- attempts that may have gone through
    look_ups         integer NOT NULL DEFAULT 0,         -- since the last attempt
    moves            integer NOT NULL DEFAULT 0,         -- how often its state or delivery was written
    first_attempt_ms bigint,
    requested_ms     bigint NOT NULL,
    changed_ms       bigint NOT NULL,
    expires_ms       bigint,
    due_ms           bigint,
    token            text COLLATE "C",
    lease_ms         bigint
);
CREATE INDEX effect_page ON duly.effect (tenant, requested_ms, no);
CREATE INDEX effect_channel ON duly.effect (tenant, channel, requested_ms, no);
CREATE INDEX effect_state ON duly.effect (tenant, state, requested_ms, no)
    WHERE state <> 'accepted' AND state <> 'attempting';     -- what is being attempted is found by its lease
CREATE INDEX effect_reference ON duly.effect (tenant, reference, requested_ms, no) WHERE reference IS NOT NULL;
CREATE INDEX effect_correlation ON duly.effect (tenant, correlation, requested_ms, no);
CREATE INDEX effect_provider ON duly.effect (gateway, provider_id) WHERE provider_id IS NOT NULL;
CREATE INDEX effect_due ON duly.effect (gateway, due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX effect_turn ON duly.effect (gateway, urgent, tenant, due_ms, no)
    WHERE due_ms IS NOT NULL AND step = 'attempt';
CREATE INDEX effect_look_up ON duly.effect (gateway, due_ms) WHERE due_ms IS NOT NULL AND step <> 'attempt';
CREATE INDEX effect_held ON duly.effect (hold, tenant) WHERE hold <> '';
CREATE INDEX effect_lease ON duly.effect (lease_ms) WHERE lease_ms IS NOT NULL;
CREATE INDEX effect_expiry ON duly.effect (expires_ms)
    WHERE expires_ms IS NOT NULL AND state IN ('requested', 'scheduled', 'queued', 'held');
CREATE INDEX effect_confirm ON duly.effect (confirm_by_ms) WHERE confirm_by_ms IS NOT NULL;

-- Keys of effects whose rows are gone: a replay of their causes meets them still.
CREATE TABLE duly.effect_key (
    id     text COLLATE "C" NOT NULL PRIMARY KEY,
    digest text NOT NULL
);

-- Address and rendered request beside the fact, keyed by subject.
CREATE TABLE duly.effect_content (
    effect_id    text COLLATE "C" NOT NULL PRIMARY KEY,
    tenant       text COLLATE "C" NOT NULL,
    channel      text COLLATE "C" NOT NULL,
    requested_ms bigint NOT NULL,                    -- the effect's: old ones are found by it
    subject      text COLLATE "C" NOT NULL,
    recipient    text COLLATE "C" NOT NULL,
    recipient_hash text COLLATE "C" NOT NULL,
    summary      text NOT NULL,
    content_type text NOT NULL,
    body         bytea NOT NULL,
    attachments  text NOT NULL DEFAULT '[]'
);
CREATE INDEX effect_content_subject ON duly.effect_content (tenant, subject);
CREATE INDEX effect_content_recipient ON duly.effect_content (tenant, recipient);
CREATE INDEX effect_content_age ON duly.effect_content (tenant, channel, requested_ms, effect_id);

-- Append-only: a row is written before the call, its outcome once after it.
CREATE TABLE duly.attempt (
    effect_id          text COLLATE "C" NOT NULL,
    number             integer NOT NULL,
    owner              text NOT NULL,
    token              text COLLATE "C" NOT NULL,
    key                text NOT NULL,
    digest             text NOT NULL,
    origin             text NOT NULL,
    possible_duplicate integer NOT NULL,
    started_ms         bigint NOT NULL,
    ended_ms           bigint,
    outcome            text,
    evidence           text NOT NULL DEFAULT '',
    provider_id        text COLLATE "C",
    PRIMARY KEY (effect_id, number)
) WITH (fillfactor = 50); -- its outcome is written beside it, out of the index

-- Ids of the provider that stale workers learned, and that their effects do not have. An index of attempts would find
-- them, too, and cost each attempt its cheap update (HOT), some 5 % of all WAL.
CREATE TABLE duly.late_id (
    gateway     text COLLATE "C" NOT NULL,
    provider_id text COLLATE "C" NOT NULL,
    effect_id   text COLLATE "C" NOT NULL,
    PRIMARY KEY (gateway, provider_id, effect_id)
);

-- Look-ups at the provider.
CREATE TABLE duly.look_up (
    effect_id   text COLLATE "C" NOT NULL,
    number      integer NOT NULL,
    step        text COLLATE "C" NOT NULL,
    asked_ms    bigint NOT NULL,
    answer      text NOT NULL,
    evidence    text NOT NULL,
    provider_id text COLLATE "C",
    PRIMARY KEY (effect_id, number)
);

-- What providers reported, verified. effect_id NULL: nobody knows yet what it is about. applied_ms NULL: not yet; then
-- due_ms is when it is tried again, until it is given up.
CREATE TABLE duly.receipt (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway     text COLLATE "C" NOT NULL,
    dedupe      text COLLATE "C" NOT NULL,
    tenant      text COLLATE "C",
    effect_id   text COLLATE "C",
    provider_id text COLLATE "C",
    delivery    text,
    engagement  text,
    detail      text NOT NULL,
    suppresses  text NOT NULL,
    occurred_ms bigint,
    received_ms bigint NOT NULL,
    closes_ms   bigint,                                  -- when further reports stop to be expected
    due_ms      bigint,
    applied_ms  bigint,
    UNIQUE (gateway, dedupe)
);
CREATE INDEX receipt_effect ON duly.receipt (effect_id) WHERE effect_id IS NOT NULL;
CREATE INDEX receipt_waiting ON duly.receipt (gateway, provider_id) WHERE applied_ms IS NULL;
CREATE INDEX receipt_due ON duly.receipt (due_ms) WHERE due_ms IS NOT NULL;

-- Whom a tenant's messages no longer go to. Only a keyed hash of the address: it survives the person's erasure.
CREATE TABLE duly.suppression (
    tenant         text COLLATE "C" NOT NULL,
    channel        text COLLATE "C" NOT NULL,
    recipient_hash text COLLATE "C" NOT NULL,
    reason         text NOT NULL,
    source         text NOT NULL,
    at_ms          bigint NOT NULL,
    PRIMARY KEY (tenant, channel, recipient_hash)
);

-- Tenants whose effects wait for a person.
CREATE TABLE duly.pause (
    tenant text COLLATE "C" NOT NULL PRIMARY KEY,
    reason text NOT NULL,
    by_whom text NOT NULL,
    at_ms  bigint NOT NULL
);

-- Open breakers: of a gateway's account (destination ''), or of one destination.
CREATE TABLE duly.breaker (
    gateway     text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    reason      text NOT NULL,
    is_probing  integer NOT NULL DEFAULT 0,
    opened_ms   bigint NOT NULL,
    until_ms    bigint NOT NULL,
    PRIMARY KEY (gateway, destination)
);

-- Token buckets of gateways and of a tenant's destinations, with the time they were last looked at.
CREATE TABLE duly.allowance (
    gateway     text COLLATE "C" NOT NULL,
    tenant      text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    tokens      bigint NOT NULL,
    at_ms       bigint NOT NULL,
    PRIMARY KEY (gateway, tenant, destination)
);

-- What people did to effects: each with a name and a reason.
CREATE TABLE duly.audit (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant       text COLLATE "C" NOT NULL,
    effect_id    text COLLATE "C",
    verb         text NOT NULL,
    by_whom      text NOT NULL,
    reason       text NOT NULL,
    state_before text,
    state_after  text,
    detail       text NOT NULL DEFAULT '',
    at_ms        bigint NOT NULL
);
CREATE INDEX audit_effect ON duly.audit (effect_id, id) WHERE effect_id IS NOT NULL;
CREATE INDEX audit_tenant ON duly.audit (tenant, id);

-- What this database alone knows: the key of the hashes of recipients.
CREATE TABLE duly.fact (
    name  text COLLATE "C" NOT NULL PRIMARY KEY,
    value text NOT NULL
);
INSERT INTO duly.fact (name, value) VALUES ('recipient_hash_key', replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''));

CREATE TABLE duly.anomaly (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    kind   text NOT NULL,
    about  text NOT NULL,
    detail text NOT NULL,
    at_ms  bigint NOT NULL
);
CREATE INDEX anomaly_tenant ON duly.anomaly (tenant, id);

-- The clock. Declared STABLE, though it moves, so that "due_ms <= duly.now_ms()" may use an index; PostgreSQL keeps no
-- result of a stable function, so whatever is evaluated after a wait reads the time after the wait. Only tests shift it.
CREATE FUNCTION duly.now_ms() RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN (extract(epoch FROM clock_timestamp()) * 1000)::bigint
         + coalesce(nullif(current_setting('duly.clock_shift_ms', true), ''), '0')::bigint;
END
$$;

-- Fencing: whoever completes a delivery shares its bucket until the transaction ends; a thief locks it. The first
-- number is a class of our own among the advisory locks with two keys ("duly" in ASCII).
CREATE FUNCTION duly.share_bucket(bucket integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1685416057, bucket);
    RETURN bucket;
END
$$;

-- Between commands that write an in-transaction projection (shared) and its rebuild.
CREATE FUNCTION duly.share_projection(name text) RETURNS text
    LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(name, 1685416058));
    RETURN name;
END
$$;

CREATE FUNCTION duly.lock_projection(name text) RETURNS text
    LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(name, 1685416058));
    RETURN name;
END
$$;

CREATE FUNCTION duly.lock_bucket(bucket integer) RETURNS integer
    LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1685416057, bucket);
    RETURN bucket;
END
$$;

-- What the relay looks at: rows of the outbox behind one, in their order, by primary key, whatever the statistics say;
-- messages are looked up for those alone. Without a hold, or, if wanted, with one that is over. Rows that are left out
-- are asked for in a subquery: that is answered from a table by hash, and a list row by row.
CREATE FUNCTION duly.look_at_outbox(
    after_row     bigint,
    with_held     integer,
    buckets       integer[],
    subscribers   integer[],
    but_for_lanes text[],
    but_for_rows  bigint[],
    rows_max      integer
) RETURNS TABLE (id bigint, bucket integer, subscriber_no integer, lane text, attempts integer, is_held integer,
                 message_id text, tenant text, kind text, name text, version integer, body text, personal text,
                 subject text, stream text, stream_version integer, handler text, chain text, trace text)
    LANGUAGE plpgsql STABLE ROWS 500
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    -- Once: were a hold over while rows are read, the end of its lane would be shown without its head.
    now_at CONSTANT bigint := duly.now_ms();
BEGIN
    RETURN QUERY
    SELECT d.id, d.bucket, d.subscriber_no, d.lane, d.attempts, d.is_held,
           m.id, m.tenant, m.kind, m.name, m.version, m.body, p.body, m.subject, m.stream, m.stream_version, m.handler,
           m.chain, m.trace
      FROM (SELECT o.id, o.bucket, o.subscriber_no, o.lane, o.commit_id, o.ordinal,
                   CASE WHEN h.head_id = o.id THEN h.attempts ELSE 0 END AS attempts,
                   CASE WHEN h.lane IS NULL THEN 0 ELSE 1 END AS is_held
              FROM duly.outbox AS o
              LEFT JOIN duly.lane_hold AS h ON h.subscriber_no = o.subscriber_no AND h.lane = o.lane
             WHERE o.id > after_row AND o.bucket = ANY(buckets) AND o.subscriber_no = ANY(subscribers)
               AND NOT o.subscriber_no || ' ' || o.lane = ANY(but_for_lanes)
               AND o.id NOT IN (SELECT unnest(but_for_rows))
               AND (h.lane IS NULL OR (with_held = 1 AND h.until_ms <= now_at))
             ORDER BY o.id LIMIT rows_max) AS d
      LEFT JOIN duly.message AS m ON m.commit_id = d.commit_id AND m.ordinal = d.ordinal
      LEFT JOIN duly.personal AS p ON p.message_id = m.id
     ORDER BY d.id;
END
$$;

-- The parts of changes, as commit_unit and commit_units take them. The order of their fields is repeated in
-- stores/postgres/arrays.py. *unit* counts the changes of one call, from 1.
CREATE TYPE duly.inbox_write    AS (unit integer, id text, name text, digest text, token text, result text, keep_ms bigint);
CREATE TYPE duly.delivered      AS (unit integer, row_id bigint, bucket integer, token text, subscriber integer,
                                    held_lane text);
CREATE TYPE duly.version_check  AS (unit integer, type text, id text, version bigint);
CREATE TYPE duly.document_write AS (unit integer, type text, id text, schema integer, body text, grows bigint);
CREATE TYPE duly.entry_write    AS (unit integer, type text, field text, value text, slot text, id text);
CREATE TYPE duly.lane_lock      AS (unit integer, lane text);
CREATE TYPE duly.message_write  AS (unit integer, ordinal integer, id text, kind text, name text, version integer,
                                    subject text, stream text, stream_version integer, handler text, chain text,
                                    trace text, body text);
CREATE TYPE duly.personal_write AS (unit integer, message_id text, subject text, body text);
CREATE TYPE duly.promise_write  AS (unit integer, ordinal integer, subscriber integer, bucket integer, lane text);
CREATE TYPE duly.intent_write   AS (unit integer, id text, type text, channel text, gateway text, policy text, key text,
                                    digest text, reference text, correlation text, destination text, urgent integer,
                                    barred text, state text, at_ms bigint, after_ms bigint, expires_at_ms bigint,
                                    expires_after_ms bigint, handler text, chain text, trace text, subject text,
                                    recipient text, recipient_hash text, summary text, content_type text, body bytea,
                                    attachments text);

-- What few changes write, together: one argument that is mostly NULL.
CREATE TYPE duly.snapshot_write AS (unit integer, type text, id text, version integer, schema integer, body text);
CREATE TYPE duly.cancelling     AS (unit integer, id text);
CREATE TYPE duly.later_write    AS (unit integer, id text, at_ms bigint, after_ms bigint, ordinal integer,
                                    subscriber integer, bucket integer, lane text);
CREATE TYPE duly.step_write     AS (unit integer, process text, id text, number integer, message_id text, kind text,
                                    name text, version integer, body text, decision text);
CREATE TYPE duly.rare_writes    AS (snapshots duly.snapshot_write[], cancelled duly.cancelling[],
                                    later duly.later_write[], steps duly.step_write[]);

-- Effects that were requested; a second request of one that exists already changes nothing.
CREATE FUNCTION duly.request_effects(tenants text[], intents duly.intent_write[], now_at bigint) RETURNS void
    LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    inserted bigint;
BEGIN
    WITH fresh AS (
        INSERT INTO duly.effect (id, tenant, type, channel, gateway, policy, key, digest, reference, correlation,
                                 destination, urgent, barred, state, handler, chain, trace, requested_ms,
                                 changed_ms, due_ms, expires_ms)
        SELECT i.id, tenants[i.unit], i.type, i.channel, i.gateway, i.policy, i.key, i.digest, i.reference,
               i.correlation, i.destination, i.urgent, i.barred, i.state, i.handler, i.chain, i.trace, now_at, now_at,
               coalesce(i.at_ms, now_at + i.after_ms), coalesce(i.expires_at_ms, now_at + i.expires_after_ms)
          FROM unnest(intents) AS i
         WHERE NOT EXISTS (SELECT 1 FROM duly.effect_key AS gone WHERE gone.id = i.id)
        ON CONFLICT (id) DO NOTHING
        RETURNING id
    )
    -- DO NOTHING again: of two requests of one effect in one change, the first stands.
    INSERT INTO duly.effect_content (effect_id, tenant, channel, requested_ms, subject, recipient, recipient_hash,
                                     summary, content_type, body, attachments)
    SELECT i.id, tenants[i.unit], i.channel, now_at, i.subject, i.recipient, i.recipient_hash, i.summary, i.content_type,
           i.body, i.attachments
      FROM unnest(intents) WITH ORDINALITY
           AS i (unit, id, type, channel, gateway, policy, key, digest, reference, correlation, destination, urgent, barred,
                 state, at_ms, after_ms, expires_at_ms, expires_after_ms, handler, chain, trace, subject, recipient,
                 recipient_hash, summary, content_type, body, attachments, place)
     WHERE i.id IN (SELECT fresh.id FROM fresh)
     ORDER BY i.place
    ON CONFLICT (effect_id) DO NOTHING;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    IF inserted < cardinality(intents) THEN
        INSERT INTO duly.anomaly (tenant, kind, about, detail, at_ms)
        SELECT tenants[i.unit], 'effect requested again with another body', i.id,
               format('%s requested %s again, with digest %s; the first request, %s, stands.',
                      i.handler, i.type, i.digest, e.digest),
               now_at
          FROM unnest(intents) AS i CROSS JOIN LATERAL (
               SELECT found.digest FROM duly.effect AS found WHERE found.id = i.id
               UNION ALL
               SELECT gone.digest FROM duly.effect_key AS gone WHERE gone.id = i.id LIMIT 1) AS e
         WHERE e.digest <> i.digest;
    END IF;
END
$$;

-- A verdict other than done, as JSON. What is written already must go: then it travels as an error, which takes back
-- everything. Otherwise it is just returned: an error would stand in the server's log.
CREATE FUNCTION duly.refuse(verdict json, has_written boolean) RETURNS text
    LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF has_written THEN
        RAISE EXCEPTION USING ERRCODE = 'DU001', MESSAGE = 'duly refuses this change', DETAIL = verdict::text;
    END IF;
    RETURN verdict::text;
END
$$;

-- What an earlier execution of a command has left, as a verdict; NULL when nothing stands in the way.
CREATE FUNCTION duly.earlier_execution(unit_tenant text, command duly.inbox_write) RETURNS json
    LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    earlier duly.inbox;
BEGIN
    SELECT * INTO earlier FROM duly.inbox AS i
     WHERE i.tenant = unit_tenant AND i.id = command.id AND i.expires_ms > duly.now_ms();
    IF NOT FOUND THEN
        RETURN NULL;
    ELSIF earlier.is_tombstone = 0 THEN
        RETURN json_build_array('repeat', earlier.name, earlier.digest, earlier.result);
    ELSIF ' ' || earlier.token || ' ' LIKE '% ' || command.token || ' %' THEN
        RETURN json_build_array(
            'void', 'This execution of the command was given up when its connection was lost; send it again.');
    END IF;
    RETURN NULL;
END
$$;

-- Writes one change, whole or not at all, in one round trip; NULL means done, a number done as this commit of the log.
-- The same words as commit_script.py, with the same verdicts. Every
-- statement in here sees what was committed before it, which the checks after locks count on.
--
-- Locks are taken in this order, by everybody: documents that exist, by key; the command's id; the bucket; documents
-- that must not exist, by key; entries, by key; lanes. Versions are compared before anything is written, so that a
-- conflict costs no rollback. Documents come before the command's id, as in an open transaction, which has locked what
-- it flushed by the time it writes its command.
--
-- Documents and entries go one by one, by full key: a join with an array would be planned from statistics, and without
-- any it reads the whole tenant. The settings keep the plans that were made while tables were empty from scanning them.
CREATE FUNCTION duly.commit_unit(
    tenants         text[],
    commands        duly.inbox_write[],
    completed       duly.delivered[],
    checked         duly.version_check[],   -- documents that were read or are written, in the order of their keys
    created         duly.document_write[],  -- in the order of their keys; without a body: there must be none, still
    changed         duly.document_write[],  -- all of them checked; without a body: removed
    entries_removed duly.entry_write[],
    entries_added   duly.entry_write[],     -- in the order of their keys
    lanes           duly.lane_lock[],
    events          integer[],              -- of each change, how many of its messages are events; NULL: it says nothing
    messages        duly.message_write[],
    personal        duly.personal_write[],
    promises        duly.promise_write[],
    intents         duly.intent_write[],
    rare            duly.rare_writes
) RETURNS text
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
AS $$
DECLARE
    unit_tenant CONSTANT text := tenants[1];
    command     CONSTANT duly.inbox_write := commands[1];
    kept        CONSTANT duly.delivered := completed[1];
    has_command CONSTANT boolean := command.id IS NOT NULL;
    now_at      bigint;
    expected    duly.version_check;
    document    duly.document_write;
    entry       duly.entry_write;
    present     bigint;
    new_commit  bigint;
BEGIN
    IF checked IS NOT NULL THEN
        FOREACH expected IN ARRAY checked LOOP
            SELECT d.version INTO present FROM duly.document AS d
             WHERE d.tenant = unit_tenant AND d.type = expected.type AND d.id = expected.id FOR UPDATE;
            IF present IS DISTINCT FROM expected.version THEN
                -- An earlier execution of the same command may be what has changed it.
                RETURN duly.refuse(
                    coalesce(duly.earlier_execution(unit_tenant, command),
                             json_build_array('conflict', expected.type, expected.id)),
                    has_written => false);
            END IF;
        END LOOP;
    END IF;

    now_at := duly.now_ms();
    IF has_command THEN
        INSERT INTO duly.inbox AS earlier (tenant, id, name, digest, token, is_tombstone, result, expires_ms)
        VALUES (unit_tenant, command.id, command.name, command.digest, command.token, 0, command.result,
                now_at + command.keep_ms)
        ON CONFLICT (tenant, id) DO UPDATE
           SET name = excluded.name, digest = excluded.digest, token = excluded.token, is_tombstone = 0,
               result = excluded.result, expires_ms = excluded.expires_ms
         WHERE earlier.expires_ms <= now_at
            OR (earlier.is_tombstone = 1 AND ' ' || earlier.token || ' ' NOT LIKE '% ' || excluded.token || ' %');
        IF NOT FOUND THEN
            RETURN duly.refuse(
                coalesce(duly.earlier_execution(unit_tenant, command),
                         json_build_array('void', 'An earlier execution of the command has just expired; send it again.')),
                has_written => false);
        END IF;
    END IF;

    IF kept.row_id IS NOT NULL THEN
        PERFORM duly.share_bucket(kept.bucket);
        PERFORM 1 FROM duly.bucket AS b WHERE b.bucket = kept.bucket AND b.token = kept.token;
        IF NOT FOUND THEN
            RETURN duly.refuse(json_build_array('void', 'The bucket has another owner by now.'), has_command);
        END IF;
        DELETE FROM duly.outbox AS o WHERE o.id = kept.row_id;
        IF NOT FOUND THEN
            RETURN duly.refuse(json_build_array('void', 'The promise was kept already.'), has_command);
        END IF;
        IF kept.held_lane IS NOT NULL THEN
            DELETE FROM duly.lane_hold AS h WHERE h.subscriber_no = kept.subscriber AND h.lane = kept.held_lane;
        END IF;
    END IF;

    IF created IS NOT NULL THEN
        FOREACH document IN ARRAY created LOOP
            INSERT INTO duly.document (tenant, type, id, version, schema, body)
            VALUES (unit_tenant, document.type, document.id, coalesce(document.grows, 1),
                    coalesce(document.schema, 0), coalesce(document.body, ''))
            ON CONFLICT (tenant, type, id) DO NOTHING;
            IF NOT FOUND THEN
                RETURN duly.refuse(
                    json_build_array(CASE WHEN document.body IS NULL THEN 'conflict' ELSE 'exists' END,
                                     document.type, document.id),
                    has_written => true);
            END IF;
            -- A row cannot be locked that is not there. This one, never seen by anybody, holds up whoever inserts it.
            IF document.body IS NULL THEN
                DELETE FROM duly.document AS d
                 WHERE d.tenant = unit_tenant AND d.type = document.type AND d.id = document.id;
            END IF;
        END LOOP;
    END IF;
    IF changed IS NOT NULL THEN
        FOREACH document IN ARRAY changed LOOP
            IF document.body IS NULL THEN
                DELETE FROM duly.document AS d
                 WHERE d.tenant = unit_tenant AND d.type = document.type AND d.id = document.id;
            ELSE
                UPDATE duly.document AS d
                   SET version = d.version + document.grows, schema = document.schema, body = document.body
                 WHERE d.tenant = unit_tenant AND d.type = document.type AND d.id = document.id;
            END IF;
        END LOOP;
    END IF;

    IF entries_removed IS NOT NULL THEN
        FOREACH entry IN ARRAY entries_removed LOOP
            DELETE FROM duly.entry AS e
             WHERE e.tenant = unit_tenant AND e.type = entry.type AND e.field = entry.field AND e.value = entry.value
               AND e.slot = entry.slot AND e.id = entry.id;
        END LOOP;
    END IF;
    IF entries_added IS NOT NULL THEN
        FOREACH entry IN ARRAY entries_added LOOP
            INSERT INTO duly.entry (tenant, type, field, value, slot, id)
            VALUES (unit_tenant, entry.type, entry.field, entry.value, entry.slot, entry.id)
            ON CONFLICT (tenant, type, field, value, slot) DO NOTHING;
            IF NOT FOUND THEN
                RETURN duly.refuse(
                    json_build_array('taken', entry.type, entry.field, entry.value), has_written => true);
            END IF;
        END LOOP;
    END IF;

    -- Ids drawn under a lane's lock follow the order of commits in that lane.
    IF lanes IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(keys.key)
           FROM (SELECT DISTINCT hashtextextended(l.lane, 1685416057) AS key FROM unnest(lanes) AS l ORDER BY 1) AS keys;
    END IF;

    IF rare.cancelled IS NOT NULL THEN
        DELETE FROM duly.later AS l WHERE l.tenant = unit_tenant AND l.id = ANY(ARRAY(SELECT c.id FROM unnest(rare.cancelled) AS c));
    END IF;
    IF rare.snapshots IS NOT NULL THEN
        INSERT INTO duly.snapshot AS present (tenant, type, id, version, schema, body)
        SELECT unit_tenant, s.type, s.id, s.version, s.schema, s.body FROM unnest(rare.snapshots) AS s
        ON CONFLICT (tenant, type, id) DO UPDATE
           SET version = excluded.version, schema = excluded.schema, body = excluded.body;
    END IF;
    IF rare.steps IS NOT NULL THEN
        INSERT INTO duly.process_step (tenant, process, id, number, message_id, kind, name, version, body, decision, at_ms)
        SELECT unit_tenant, s.process, s.id, s.number, s.message_id, s.kind, s.name, s.version, s.body, s.decision, now_at
          FROM unnest(rare.steps) AS s;
    END IF;

    IF messages IS NOT NULL THEN
        PERFORM pg_current_xact_id();  -- before an id is drawn: number_commits counts on it
        INSERT INTO duly.commit_log (tenant, events, at_ms) VALUES (unit_tenant, events[1], now_at)
        RETURNING id INTO new_commit;
        INSERT INTO duly.message (commit_id, ordinal, id, tenant, kind, name, version, subject, stream, stream_version,
                                  handler, chain, trace, body)
        SELECT new_commit, m.ordinal, m.id, unit_tenant, m.kind, m.name, m.version, m.subject, m.stream,
               m.stream_version, m.handler, m.chain, m.trace, m.body
          FROM unnest(messages) AS m;
        IF personal IS NOT NULL THEN
            INSERT INTO duly.personal (message_id, tenant, subject, body)
            SELECT p.message_id, unit_tenant, p.subject, p.body FROM unnest(personal) AS p
            ON CONFLICT (message_id) DO NOTHING;
        END IF;
        -- unnest keeps the order, and with it the ids follow the order of the promises.
        IF promises IS NOT NULL THEN
            INSERT INTO duly.outbox (subscriber_no, bucket, lane, commit_id, ordinal)
            SELECT p.subscriber, p.bucket, p.lane, new_commit, p.ordinal FROM unnest(promises) AS p;
        END IF;
        IF rare.later IS NOT NULL THEN
            INSERT INTO duly.later (tenant, id, due_ms, subscriber_no, bucket, lane, commit_id, ordinal)
            SELECT unit_tenant, l.id, coalesce(l.at_ms, now_at + l.after_ms), l.subscriber, l.bucket, l.lane, new_commit,
                   l.ordinal
              FROM unnest(rare.later) AS l
            ON CONFLICT (tenant, id) DO NOTHING;
        END IF;
    END IF;

    IF intents IS NOT NULL THEN
        PERFORM duly.request_effects(tenants, intents, now_at);
    END IF;
    RETURN new_commit::text;
END
$$;

-- Writes several changes in one transaction and one round trip; of each its verdict, in their order: NULL and numbers as
-- above, a conflict as JSON, or 'again': it must go through commit_unit by itself, which waits, and has the exact verdict
-- (docs/adr/0024). The changes share no aggregate, command, unique value or promise, but lanes they may share. Never
-- within an open transaction: rows of our own are told by their transaction id.
--
-- A stranger who holds what one change needs must not stall the others: documents and lanes are not waited for, and what
-- is being inserted elsewhere (a command, an id, a value) hardly: then the call fails, and each change goes by itself.
-- The order of locks is that of commit_unit; each array comes in the order of its keys. What may fail comes first. What
-- a loser had inserted by then is removed again; nothing else has been written of it.
CREATE FUNCTION duly.commit_units(
    tenants         text[],
    commands        duly.inbox_write[],
    completed       duly.delivered[],
    checked         duly.version_check[],
    created         duly.document_write[],
    changed         duly.document_write[],
    entries_removed duly.entry_write[],
    entries_added   duly.entry_write[],
    lanes           duly.lane_lock[],
    events          integer[],
    messages        duly.message_write[],
    personal        duly.personal_write[],
    promises        duly.promise_write[],
    intents         duly.intent_write[],
    rare            duly.rare_writes
) RETURNS text[]
    LANGUAGE plpgsql VOLATILE
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET lock_timeout = '50ms'
AS $$
DECLARE
    now_at      bigint;
    verdicts    text[];
    lost        integer[] := '{}';    -- changes that are not written
    late        integer[] := '{}';    -- those of them that may have inserted something by then
    losers      integer[];
    expected    duly.version_check;
    document    duly.document_write;
    entry       duly.entry_write;
    lane        duly.lane_lock;
    command     duly.inbox_write;
    cancelling  duly.cancelling;
    present     bigint;
    wanted      integer;
    inserted    bigint;
    deleted     bigint[];
    commits     bigint[];
BEGIN
    IF checked IS NOT NULL THEN
        FOREACH expected IN ARRAY checked LOOP
            SELECT d.version INTO present FROM duly.document AS d
             WHERE d.tenant = tenants[expected.unit] AND d.type = expected.type AND d.id = expected.id
               FOR UPDATE SKIP LOCKED;
            IF present IS DISTINCT FROM expected.version AND NOT expected.unit = ANY(lost) THEN
                lost := lost || expected.unit;
                IF present IS NULL THEN  -- held by somebody, or gone
                    verdicts[expected.unit] := 'again';
                ELSE
                    verdicts[expected.unit] := json_build_array('conflict', expected.type, expected.id);
                END IF;
            END IF;
        END LOOP;
        -- An earlier execution of the same command may be what has changed a document.
        IF lost <> '{}' AND commands IS NOT NULL THEN
            FOR command IN SELECT * FROM unnest(commands) AS c WHERE c.unit = ANY(lost) LOOP
                PERFORM 1 FROM duly.inbox AS i WHERE i.tenant = tenants[command.unit] AND i.id = command.id;
                IF FOUND THEN
                    verdicts[command.unit] := 'again';
                END IF;
            END LOOP;
        END IF;
    END IF;

    IF lanes IS NOT NULL THEN
        FOREACH lane IN ARRAY lanes LOOP
            IF NOT lane.unit = ANY(lost)
               AND NOT pg_try_advisory_xact_lock(hashtextextended(lane.lane, 1685416057)) THEN
                lost := lost || lane.unit;
                verdicts[lane.unit] := 'again';
            END IF;
        END LOOP;
    END IF;

    IF completed IS NOT NULL THEN
        PERFORM duly.share_bucket(k.bucket)
           FROM (SELECT DISTINCT c.bucket FROM unnest(completed) AS c ORDER BY 1) AS k;
        SELECT array_agg(c.unit) INTO losers FROM unnest(completed) AS c
         WHERE NOT EXISTS (SELECT 1 FROM duly.bucket AS b WHERE b.bucket = c.bucket AND b.token = c.token);
        lost := lost || losers;
    END IF;

    now_at := duly.now_ms();
    IF commands IS NOT NULL THEN
        SELECT count(*) INTO wanted FROM unnest(commands) AS c WHERE NOT c.unit = ANY(lost);
        INSERT INTO duly.inbox (tenant, id, name, digest, token, is_tombstone, result, expires_ms)
        SELECT tenants[c.unit], c.id, c.name, c.digest, c.token, 0, c.result, now_at + c.keep_ms
          FROM unnest(commands) AS c WHERE NOT c.unit = ANY(lost)
        ON CONFLICT (tenant, id) DO NOTHING;
        GET DIAGNOSTICS inserted = ROW_COUNT;
        IF inserted < wanted THEN
            SELECT array_agg(c.unit) INTO losers FROM unnest(commands) AS c
             WHERE NOT c.unit = ANY(lost)
               AND NOT EXISTS (SELECT 1 FROM duly.inbox AS i
                                WHERE i.tenant = tenants[c.unit] AND i.id = c.id AND i.xmin = pg_current_xact_id()::xid);
            lost := lost || losers;
        END IF;
    END IF;

    IF created IS NOT NULL THEN
        SELECT count(*) INTO wanted FROM unnest(created) AS w WHERE NOT w.unit = ANY(lost);
        INSERT INTO duly.document (tenant, type, id, version, schema, body)
        SELECT tenants[w.unit], w.type, w.id, coalesce(w.grows, 1), coalesce(w.schema, 0), coalesce(w.body, '')
          FROM unnest(created) AS w WHERE NOT w.unit = ANY(lost)
        ON CONFLICT (tenant, type, id) DO NOTHING;
        GET DIAGNOSTICS inserted = ROW_COUNT;
        IF inserted < wanted THEN
            SELECT array_agg(DISTINCT w.unit) INTO losers FROM unnest(created) AS w
             WHERE NOT w.unit = ANY(lost)
               AND NOT EXISTS (SELECT 1 FROM duly.document AS d
                                WHERE d.tenant = tenants[w.unit] AND d.type = w.type AND d.id = w.id
                                  AND d.xmin = pg_current_xact_id()::xid);
            IF losers IS NULL THEN
                RAISE EXCEPTION 'one change creates a document twice';  -- commit_unit will say so of that one alone
            END IF;
            lost := lost || losers;
            late := late || losers;
        END IF;
    END IF;

    -- Before any are removed: a change that passes a value from one to the other goes by itself.
    IF entries_added IS NOT NULL THEN
        SELECT count(*) INTO wanted FROM unnest(entries_added) AS w WHERE NOT w.unit = ANY(lost);
        INSERT INTO duly.entry (tenant, type, field, value, slot, id)
        SELECT tenants[w.unit], w.type, w.field, w.value, w.slot, w.id
          FROM unnest(entries_added) AS w WHERE NOT w.unit = ANY(lost)
        ON CONFLICT (tenant, type, field, value, slot) DO NOTHING;
        GET DIAGNOSTICS inserted = ROW_COUNT;
        IF inserted < wanted THEN
            SELECT array_agg(DISTINCT w.unit) INTO losers FROM unnest(entries_added) AS w
             WHERE NOT w.unit = ANY(lost)
               AND NOT EXISTS (SELECT 1 FROM duly.entry AS e
                                WHERE e.tenant = tenants[w.unit] AND e.type = w.type AND e.field = w.field
                                  AND e.value = w.value AND e.slot = w.slot AND e.id = w.id
                                  AND e.xmin = pg_current_xact_id()::xid);
            IF losers IS NULL THEN
                RAISE EXCEPTION 'one change adds an entry twice';
            END IF;
            lost := lost || losers;
            late := late || losers;
        END IF;
    END IF;

    -- The last that may fail: what is deleted cannot come back.
    IF completed IS NOT NULL THEN
        WITH gone AS (
            DELETE FROM duly.outbox AS o
             WHERE o.id = ANY(ARRAY(SELECT c.row_id FROM unnest(completed) AS c WHERE NOT c.unit = ANY(lost)))
            RETURNING o.id
        )
        SELECT array_agg(gone.id) INTO deleted FROM gone;
        SELECT array_agg(c.unit) INTO losers FROM unnest(completed) AS c
         WHERE NOT c.unit = ANY(lost) AND NOT c.row_id = ANY(coalesce(deleted, '{}'));
        lost := lost || losers;
        late := late || losers;
        IF EXISTS (SELECT 1 FROM unnest(completed) AS c WHERE c.held_lane IS NOT NULL) THEN
            DELETE FROM duly.lane_hold AS h USING unnest(completed) AS c
             WHERE h.subscriber_no = c.subscriber AND h.lane = c.held_lane AND NOT c.unit = ANY(lost);
        END IF;
    END IF;

    IF late <> '{}' THEN
        FOR command IN SELECT * FROM unnest(commands) AS c WHERE c.unit = ANY(late) LOOP
            DELETE FROM duly.inbox AS i
             WHERE i.tenant = tenants[command.unit] AND i.id = command.id AND i.xmin = pg_current_xact_id()::xid;
        END LOOP;
        FOR document IN SELECT * FROM unnest(created) AS w WHERE w.unit = ANY(late) LOOP
            DELETE FROM duly.document AS d
             WHERE d.tenant = tenants[document.unit] AND d.type = document.type AND d.id = document.id
               AND d.xmin = pg_current_xact_id()::xid;
        END LOOP;
        FOR entry IN SELECT * FROM unnest(entries_added) AS w WHERE w.unit = ANY(late) LOOP
            DELETE FROM duly.entry AS e
             WHERE e.tenant = tenants[entry.unit] AND e.type = entry.type AND e.field = entry.field
               AND e.value = entry.value AND e.slot = entry.slot AND e.xmin = pg_current_xact_id()::xid;
        END LOOP;
    END IF;

    -- From here on nothing fails.

    IF created IS NOT NULL AND EXISTS (SELECT 1 FROM unnest(created) AS w WHERE w.body IS NULL) THEN
        FOR document IN SELECT * FROM unnest(created) AS w WHERE w.body IS NULL AND NOT w.unit = ANY(lost) LOOP
            DELETE FROM duly.document AS d
             WHERE d.tenant = tenants[document.unit] AND d.type = document.type AND d.id = document.id;
        END LOOP;
    END IF;
    IF changed IS NOT NULL THEN
        FOREACH document IN ARRAY changed LOOP
            CONTINUE WHEN document.unit = ANY(lost);
            IF document.body IS NULL THEN
                DELETE FROM duly.document AS d
                 WHERE d.tenant = tenants[document.unit] AND d.type = document.type AND d.id = document.id;
            ELSE
                UPDATE duly.document AS d
                   SET version = d.version + document.grows, schema = document.schema, body = document.body
                 WHERE d.tenant = tenants[document.unit] AND d.type = document.type AND d.id = document.id;
            END IF;
        END LOOP;
    END IF;
    IF entries_removed IS NOT NULL THEN
        FOREACH entry IN ARRAY entries_removed LOOP
            CONTINUE WHEN entry.unit = ANY(lost);
            DELETE FROM duly.entry AS e
             WHERE e.tenant = tenants[entry.unit] AND e.type = entry.type AND e.field = entry.field
               AND e.value = entry.value AND e.slot = entry.slot AND e.id = entry.id;
        END LOOP;
    END IF;

    IF rare.cancelled IS NOT NULL THEN
        FOREACH cancelling IN ARRAY rare.cancelled LOOP
            CONTINUE WHEN cancelling.unit = ANY(lost);
            DELETE FROM duly.later AS l WHERE l.tenant = tenants[cancelling.unit] AND l.id = cancelling.id;
        END LOOP;
    END IF;
    IF rare.snapshots IS NOT NULL THEN
        INSERT INTO duly.snapshot AS present (tenant, type, id, version, schema, body)
        SELECT tenants[s.unit], s.type, s.id, s.version, s.schema, s.body
          FROM unnest(rare.snapshots) AS s WHERE NOT s.unit = ANY(lost)
        ON CONFLICT (tenant, type, id) DO UPDATE
           SET version = excluded.version, schema = excluded.schema, body = excluded.body;
    END IF;
    IF rare.steps IS NOT NULL THEN
        INSERT INTO duly.process_step (tenant, process, id, number, message_id, kind, name, version, body, decision, at_ms)
        SELECT tenants[s.unit], s.process, s.id, s.number, s.message_id, s.kind, s.name, s.version, s.body, s.decision,
               now_at
          FROM unnest(rare.steps) AS s WHERE NOT s.unit = ANY(lost);
    END IF;

    IF messages IS NOT NULL THEN
        PERFORM pg_current_xact_id();  -- before an id is drawn: number_commits counts on it
        SELECT array_agg(CASE WHEN e.count IS NOT NULL AND NOT e.unit = ANY(lost)
                              THEN nextval('duly.commit_log_id_seq') END)
          INTO commits FROM unnest(events) WITH ORDINALITY AS e (count, unit);
        INSERT INTO duly.commit_log (id, tenant, events, at_ms) OVERRIDING SYSTEM VALUE
        SELECT c.id, tenants[c.unit], events[c.unit], now_at
          FROM unnest(commits) WITH ORDINALITY AS c (id, unit) WHERE c.id IS NOT NULL;
        INSERT INTO duly.message (commit_id, ordinal, id, tenant, kind, name, version, subject, stream, stream_version,
                                  handler, chain, trace, body)
        SELECT commits[m.unit], m.ordinal, m.id, tenants[m.unit], m.kind, m.name, m.version, m.subject, m.stream,
               m.stream_version, m.handler, m.chain, m.trace, m.body
          FROM unnest(messages) AS m WHERE NOT m.unit = ANY(lost);
        IF personal IS NOT NULL THEN
            INSERT INTO duly.personal (message_id, tenant, subject, body)
            SELECT p.message_id, tenants[p.unit], p.subject, p.body
              FROM unnest(personal) AS p WHERE NOT p.unit = ANY(lost)
            ON CONFLICT (message_id) DO NOTHING;
        END IF;
        IF promises IS NOT NULL THEN
            INSERT INTO duly.outbox (subscriber_no, bucket, lane, commit_id, ordinal)
            SELECT p.subscriber, p.bucket, p.lane, commits[p.unit], p.ordinal
              FROM unnest(promises) AS p WHERE NOT p.unit = ANY(lost);
        END IF;
        IF rare.later IS NOT NULL THEN
            INSERT INTO duly.later (tenant, id, due_ms, subscriber_no, bucket, lane, commit_id, ordinal)
            SELECT tenants[l.unit], l.id, coalesce(l.at_ms, now_at + l.after_ms), l.subscriber, l.bucket, l.lane,
                   commits[l.unit], l.ordinal
              FROM unnest(rare.later) AS l WHERE NOT l.unit = ANY(lost)
            ON CONFLICT (tenant, id) DO NOTHING;
        END IF;
    END IF;

    IF intents IS NOT NULL THEN
        PERFORM duly.request_effects(
            tenants, ARRAY(SELECT i FROM unnest(intents) AS i WHERE NOT i.unit = ANY(lost)), now_at);
    END IF;

    FOREACH wanted IN ARRAY lost LOOP
        verdicts[wanted] := coalesce(verdicts[wanted], 'again');
    END LOOP;
    SELECT array_agg(coalesce(verdicts[n], commits[n]::text)) INTO verdicts FROM generate_subscripts(tenants, 1) AS n;
    RETURN verdicts;
END
$$;
