-- Version 1. Times are milliseconds since 1970-01-01T00:00Z, by the database's clock.
-- AUTOINCREMENT where an id must never be reused after a drain (outbox, commit_log).

-- The statements of the modules' own tables that were run here.
CREATE TABLE duly_module_table (
    digest    TEXT NOT NULL PRIMARY KEY,
    statement TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE duly_inbox (
    tenant      TEXT NOT NULL,
    id          TEXT NOT NULL,
    name        TEXT NOT NULL,
    digest      TEXT NOT NULL,
    token       TEXT NOT NULL,              -- which execution wrote it
    is_tombstone INTEGER NOT NULL DEFAULT 0, -- that execution shall never commit
    result      TEXT NOT NULL,
    expires_ms  INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;

CREATE TABLE duly_document (
    tenant  TEXT NOT NULL,
    type    TEXT NOT NULL,
    id      TEXT NOT NULL,
    version INTEGER NOT NULL,
    schema  INTEGER NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (tenant, type, id)
) WITHOUT ROWID;

-- Findable values: slot is '' for a unique one, so that the key refuses a second; else the aggregate's id.
CREATE TABLE duly_entry (
    tenant TEXT NOT NULL,
    type   TEXT NOT NULL,
    field  TEXT NOT NULL,
    value  TEXT NOT NULL,
    slot   TEXT NOT NULL,
    id     TEXT NOT NULL,
    PRIMARY KEY (tenant, type, field, value, slot)
) WITHOUT ROWID;

-- One row per commit that raised messages; the position of an event is first_position + ordinal.
CREATE TABLE duly_commit_log (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant         TEXT NOT NULL,
    events         INTEGER NOT NULL,
    first_position INTEGER,                      -- of commits with events
    at_ms          INTEGER NOT NULL
);
CREATE INDEX duly_commit_log_position ON duly_commit_log (first_position) WHERE events > 0;

-- The position that the next event gets: the last commit with events says it, so retention keeps that one.
CREATE VIEW duly_log_head AS
SELECT coalesce((SELECT first_position + events FROM duly_commit_log
                  WHERE events > 0 ORDER BY first_position DESC LIMIT 1), 1) AS next_position;

-- As on PostgreSQL, where positions are given later, by stretches.
CREATE VIEW duly_log_commit AS
SELECT first_position AS stretch, id AS commit_id, first_position, events, at_ms FROM duly_commit_log WHERE events > 0;
CREATE VIEW duly_unnumbered AS
SELECT id FROM duly_commit_log WHERE FALSE;

-- States of event-sourced aggregates, so that not every event need be read. The head of a stream is its document row.
CREATE TABLE duly_snapshot (
    tenant  TEXT NOT NULL,
    type    TEXT NOT NULL,
    id      TEXT NOT NULL,
    version INTEGER NOT NULL,                    -- the stream's version that it was taken at
    schema  INTEGER NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (tenant, type, id)
) WITHOUT ROWID;

-- The event log and everything else that was said; never updated. Domain events come first in their commit.
CREATE TABLE duly_message (
    commit_id      INTEGER NOT NULL,
    ordinal        INTEGER NOT NULL,
    id             TEXT NOT NULL,
    tenant         TEXT NOT NULL,
    kind           TEXT NOT NULL,
    name           TEXT NOT NULL,
    version        INTEGER NOT NULL,
    subject        TEXT,
    stream         TEXT,
    stream_version INTEGER,
    handler        TEXT NOT NULL,
    chain          TEXT NOT NULL,
    trace          TEXT,
    body           TEXT NOT NULL,
    PRIMARY KEY (commit_id, ordinal)
) WITHOUT ROWID;
CREATE INDEX duly_message_stream ON duly_message (tenant, stream, stream_version) WHERE kind = 'event';

-- Messages that a sweep would have removed, had they not been promised: the next one looks at them again.
CREATE TABLE duly_message_left (
    commit_id INTEGER NOT NULL,
    ordinal   INTEGER NOT NULL,
    PRIMARY KEY (commit_id, ordinal)
) WITHOUT ROWID;

-- Events of streams that are finished, some dozens in a row: JSON lines, deflated (RFC 1950). Their personal fields stay
-- in personal. Where each of them is says archived_event; readers of the log find them over their commits.
CREATE TABLE duly_archived_stream (
    id             INTEGER PRIMARY KEY,
    tenant         TEXT NOT NULL,
    stream         TEXT NOT NULL,
    first_position INTEGER NOT NULL,
    last_position  INTEGER NOT NULL,
    first_version  INTEGER NOT NULL,
    last_version   INTEGER NOT NULL,
    events         INTEGER NOT NULL,
    body           BLOB NOT NULL,
    at_ms          INTEGER NOT NULL,
    by_whom        TEXT NOT NULL,
    reason         TEXT NOT NULL
);
CREATE INDEX duly_archived_stream_version ON duly_archived_stream (tenant, stream, last_version, id);
CREATE INDEX duly_archived_stream_position ON duly_archived_stream (last_position);
CREATE TABLE duly_archived_event (
    commit_id  INTEGER NOT NULL,
    ordinal    INTEGER NOT NULL,
    place      INTEGER NOT NULL,                 -- its line, from 0
    archive_id INTEGER NOT NULL,
    PRIMARY KEY (commit_id, ordinal)
) WITHOUT ROWID;

-- The position of the last event of each commit.
CREATE VIEW duly_commit_position AS
SELECT id AS commit_id, events, first_position + events - 1 AS last_position FROM duly_commit_log;

-- Personal fields beside the immutable row, keyed by subject, so that erasing a person is a delete.
CREATE TABLE duly_personal (
    message_id TEXT NOT NULL PRIMARY KEY,
    tenant     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    body       TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX duly_personal_subject ON duly_personal (tenant, subject);

CREATE TABLE duly_subscriber (
    no       INTEGER PRIMARY KEY AUTOINCREMENT,
    name     TEXT NOT NULL UNIQUE,
    since_ms INTEGER NOT NULL                        -- what was committed before was not promised to it
);

-- Requests to let a subscriber hear the past, each with how far it has come: the last message that was promised.
CREATE TABLE duly_backfill (
    id            TEXT NOT NULL PRIMARY KEY,
    tenant        TEXT NOT NULL,
    subscriber_no INTEGER NOT NULL,
    since_ms      INTEGER NOT NULL,
    until_ms      INTEGER NOT NULL,
    heard_ms      INTEGER NOT NULL,                  -- what was committed from then on is left out: it was heard
    through       INTEGER NOT NULL,                  -- the last commit that it is about
    commit_id     INTEGER NOT NULL,
    ordinal       INTEGER NOT NULL,
    total         INTEGER NOT NULL,
    promised      INTEGER NOT NULL,
    by_whom       TEXT NOT NULL,
    reason        TEXT NOT NULL,
    begun_ms      INTEGER NOT NULL,
    ended_ms      INTEGER
) WITHOUT ROWID;
CREATE UNIQUE INDEX duly_backfill_unfinished ON duly_backfill (tenant, subscriber_no) WHERE ended_ms IS NULL;
CREATE INDEX duly_backfill_subscriber ON duly_backfill (tenant, subscriber_no, begun_ms);

-- Promises: one narrow row per (message, subscriber); inserted and deleted, never updated.
CREATE TABLE duly_outbox (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    subscriber_no INTEGER NOT NULL,
    bucket        INTEGER NOT NULL,
    lane          TEXT NOT NULL,
    commit_id     INTEGER NOT NULL,
    ordinal       INTEGER NOT NULL
);

-- Promises that wait for their time; then they go to the outbox, and their order counts from there.
CREATE TABLE duly_later (
    tenant        TEXT NOT NULL,
    id            TEXT NOT NULL,                 -- what it is cancelled by
    due_ms        INTEGER NOT NULL,
    subscriber_no INTEGER NOT NULL,
    bucket        INTEGER NOT NULL,
    lane          TEXT NOT NULL,
    commit_id     INTEGER NOT NULL,
    ordinal       INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX duly_later_due ON duly_later (due_ms);
CREATE INDEX duly_later_message ON duly_later (commit_id, ordinal);

-- What each process heard, and what it decided: enough to run the past against new code.
CREATE TABLE duly_process_step (
    tenant        TEXT NOT NULL,
    process       TEXT NOT NULL,
    id            TEXT NOT NULL,
    number        INTEGER NOT NULL,
    message_id    TEXT NOT NULL,
    kind          TEXT NOT NULL,
    name          TEXT NOT NULL,
    version       INTEGER NOT NULL,
    body          TEXT NOT NULL,
    decision      TEXT NOT NULL,
    at_ms         INTEGER NOT NULL,
    PRIMARY KEY (tenant, process, id, number)
) WITHOUT ROWID;

-- How far each projection has come: one row for what is read, one more while a shadow is built.
CREATE TABLE duly_projection (
    name        TEXT NOT NULL,
    generation  INTEGER NOT NULL,
    state       TEXT NOT NULL,                   -- live, building, old
    digest      TEXT NOT NULL,                   -- of its tables and version, as it was begun
    tables      TEXT NOT NULL,                   -- their plain names
    position    INTEGER NOT NULL,                -- of the last event that it has seen
    owner       TEXT,
    until_ms    INTEGER NOT NULL DEFAULT 0,
    attempts    INTEGER NOT NULL DEFAULT 0,
    retry_ms    INTEGER NOT NULL DEFAULT 0,
    reason      TEXT NOT NULL DEFAULT '',
    started_ms  INTEGER NOT NULL,
    changed_ms  INTEGER NOT NULL,
    PRIMARY KEY (name, generation)
) WITHOUT ROWID;

-- Read models that are documents; those of a shadow have its generation.
CREATE TABLE duly_read_model (
    model      TEXT NOT NULL,
    generation INTEGER NOT NULL,
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,
    schema     INTEGER NOT NULL,
    body       TEXT NOT NULL,
    PRIMARY KEY (model, generation, tenant, id)
) WITHOUT ROWID;
CREATE TABLE duly_read_entry (
    model      TEXT NOT NULL,
    generation INTEGER NOT NULL,
    tenant     TEXT NOT NULL,
    field      TEXT NOT NULL,
    value      TEXT NOT NULL,
    id         TEXT NOT NULL,
    PRIMARY KEY (model, generation, tenant, field, value, id)
) WITHOUT ROWID;

-- Only a failing lane has a row. until_ms NULL: until a person lets it go.
CREATE TABLE duly_lane_hold (
    subscriber_no INTEGER NOT NULL,
    lane          TEXT NOT NULL,
    head_id       INTEGER NOT NULL,
    attempts      INTEGER NOT NULL,
    until_ms      INTEGER,
    reason        TEXT NOT NULL,
    PRIMARY KEY (subscriber_no, lane)
) WITHOUT ROWID;
CREATE INDEX duly_lane_hold_until ON duly_lane_hold (until_ms);

CREATE TABLE duly_parked (
    id            INTEGER PRIMARY KEY,
    tenant        TEXT NOT NULL,
    subscriber_no INTEGER NOT NULL,
    bucket        INTEGER NOT NULL,
    lane          TEXT NOT NULL,
    commit_id     INTEGER NOT NULL,
    ordinal       INTEGER NOT NULL,
    attempts      INTEGER NOT NULL,
    reason        TEXT NOT NULL,
    parked_ms     INTEGER NOT NULL
);
CREATE INDEX duly_parked_tenant ON duly_parked (tenant, id);

CREATE TABLE duly_worker (
    owner    TEXT NOT NULL PRIMARY KEY,
    until_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE duly_bucket (
    bucket   INTEGER PRIMARY KEY,
    owner    TEXT,
    token    TEXT,
    until_ms INTEGER NOT NULL DEFAULT 0
);
WITH RECURSIVE numbers (bucket) AS (SELECT 0 UNION ALL SELECT bucket + 1 FROM numbers WHERE bucket < 31)
INSERT INTO duly_bucket (bucket) SELECT bucket FROM numbers;

-- due_ms is when the next step of an effect (`step`) may be taken; NULL when nothing comes by itself.
CREATE TABLE duly_effect (
    no               INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of request, for pages
    id               TEXT NOT NULL UNIQUE,
    tenant           TEXT NOT NULL,
    type             TEXT NOT NULL,
    channel          TEXT NOT NULL,
    gateway          TEXT NOT NULL,
    policy           TEXT NOT NULL,
    key              TEXT NOT NULL,
    digest           TEXT NOT NULL,
    reference        TEXT,                               -- what the application finds it by
    correlation      TEXT NOT NULL,                      -- id of the first message of the chain
    destination      TEXT NOT NULL DEFAULT '',
    urgent           INTEGER NOT NULL DEFAULT 0,
    barred           TEXT NOT NULL DEFAULT '',           -- why it shall never be attempted
    resend_of        TEXT,
    resends          INTEGER NOT NULL DEFAULT 0,         -- how often it was sent again, each as an effect of its own
    state            TEXT NOT NULL,
    reason           TEXT NOT NULL DEFAULT '',
    hold             TEXT NOT NULL DEFAULT '',           -- what it is held by
    step             TEXT NOT NULL DEFAULT 'attempt',
    origin           TEXT NOT NULL DEFAULT 'scheduled',  -- who ordered the next attempt
    provider_id      TEXT,
    delivery         TEXT,                               -- what receipts reported
    delivery_ms      INTEGER,
    confirm_by_ms    INTEGER,                            -- when reports stop to be expected
    reported         INTEGER NOT NULL DEFAULT 0,         -- whether receipts wait for its attempt to end
    handler          TEXT NOT NULL,
    chain            TEXT NOT NULL,
    trace            TEXT,
    counted          INTEGER NOT NULL DEFAULT 0,         -- attempts that count against the schedule
    attempts         INTEGER NOT NULL DEFAULT 0,
    unsettled        INTEGER NOT NULL DEFAULT 0,         -- attempts that may have gone through
    look_ups         INTEGER NOT NULL DEFAULT 0,         -- since the last attempt
    moves            INTEGER NOT NULL DEFAULT 0,         -- how often its state or delivery was written
    first_attempt_ms INTEGER,
    requested_ms     INTEGER NOT NULL,
    changed_ms       INTEGER NOT NULL,
    expires_ms       INTEGER,
    due_ms           INTEGER,
    token            TEXT,
    lease_ms         INTEGER
);
CREATE INDEX duly_effect_page ON duly_effect (tenant, requested_ms, no);
CREATE INDEX duly_effect_channel ON duly_effect (tenant, channel, requested_ms, no);
CREATE INDEX duly_effect_state ON duly_effect (tenant, state, requested_ms, no)
    WHERE state <> 'accepted' AND state <> 'attempting';     -- what is being attempted is found by its lease
CREATE INDEX duly_effect_reference ON duly_effect (tenant, reference, requested_ms, no) WHERE reference IS NOT NULL;
CREATE INDEX duly_effect_correlation ON duly_effect (tenant, correlation, requested_ms, no);
CREATE INDEX duly_effect_provider ON duly_effect (gateway, provider_id) WHERE provider_id IS NOT NULL;
CREATE INDEX duly_effect_due ON duly_effect (gateway, due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX duly_effect_turn ON duly_effect (gateway, urgent, tenant, due_ms, no)
    WHERE due_ms IS NOT NULL AND step = 'attempt';
CREATE INDEX duly_effect_look_up ON duly_effect (gateway, due_ms) WHERE due_ms IS NOT NULL AND step <> 'attempt';
CREATE INDEX duly_effect_held ON duly_effect (hold, tenant) WHERE hold <> '';
CREATE INDEX duly_effect_lease ON duly_effect (lease_ms) WHERE lease_ms IS NOT NULL;
CREATE INDEX duly_effect_expiry ON duly_effect (expires_ms)
    WHERE expires_ms IS NOT NULL AND state IN ('requested', 'scheduled', 'queued', 'held');
CREATE INDEX duly_effect_confirm ON duly_effect (confirm_by_ms) WHERE confirm_by_ms IS NOT NULL;

-- Keys of effects whose rows are gone: a replay of their causes meets them still.
CREATE TABLE duly_effect_key (
    id     TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL
) WITHOUT ROWID;

-- Address and rendered request beside the fact, keyed by subject.
CREATE TABLE duly_effect_content (
    effect_id    TEXT NOT NULL PRIMARY KEY,
    tenant       TEXT NOT NULL,
    channel      TEXT NOT NULL,
    requested_ms INTEGER NOT NULL,                   -- the effect's: old ones are found by it
    subject      TEXT NOT NULL,
    recipient    TEXT NOT NULL,
    recipient_hash TEXT NOT NULL,
    summary      TEXT NOT NULL,
    content_type TEXT NOT NULL,
    body         BLOB NOT NULL,
    attachments  TEXT NOT NULL DEFAULT '[]'
) WITHOUT ROWID;
CREATE INDEX duly_effect_content_subject ON duly_effect_content (tenant, subject);
CREATE INDEX duly_effect_content_recipient ON duly_effect_content (tenant, recipient);
CREATE INDEX duly_effect_content_age ON duly_effect_content (tenant, channel, requested_ms, effect_id);

-- Append-only: a row is written before the call, its outcome once after it. In the order of time, not of ids: rows that
-- begin or end together then lie in few pages, which are what a commit costs.
CREATE TABLE duly_attempt (
    effect_id          TEXT NOT NULL,
    number             INTEGER NOT NULL,
    owner              TEXT NOT NULL,
    token              TEXT NOT NULL,
    key                TEXT NOT NULL,
    digest             TEXT NOT NULL,
    origin             TEXT NOT NULL,
    possible_duplicate INTEGER NOT NULL,
    started_ms         INTEGER NOT NULL,
    ended_ms           INTEGER,
    outcome            TEXT,
    evidence           TEXT NOT NULL DEFAULT '',
    provider_id        TEXT,
    PRIMARY KEY (effect_id, number)
);

-- Ids of the provider that stale workers learned, and that their effects do not have.
CREATE TABLE duly_late_id (
    gateway     TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    effect_id   TEXT NOT NULL,
    PRIMARY KEY (gateway, provider_id, effect_id)
) WITHOUT ROWID;

-- Look-ups at the provider.
CREATE TABLE duly_look_up (
    effect_id   TEXT NOT NULL,
    number      INTEGER NOT NULL,
    step        TEXT NOT NULL,
    asked_ms    INTEGER NOT NULL,
    answer      TEXT NOT NULL,
    evidence    TEXT NOT NULL,
    provider_id TEXT,
    PRIMARY KEY (effect_id, number)
) WITHOUT ROWID;

-- What providers reported, verified. effect_id NULL: nobody knows yet what it is about. applied_ms NULL: not yet; then
-- due_ms is when it is tried again, until it is given up.
CREATE TABLE duly_receipt (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway     TEXT NOT NULL,
    dedupe      TEXT NOT NULL,
    tenant      TEXT,
    effect_id   TEXT,
    provider_id TEXT,
    delivery    TEXT,
    engagement  TEXT,
    detail      TEXT NOT NULL,
    suppresses  TEXT NOT NULL,
    occurred_ms INTEGER,
    received_ms INTEGER NOT NULL,
    closes_ms   INTEGER,                                 -- when further reports stop to be expected
    due_ms      INTEGER,
    applied_ms  INTEGER,
    UNIQUE (gateway, dedupe)
);
CREATE INDEX duly_receipt_effect ON duly_receipt (effect_id) WHERE effect_id IS NOT NULL;
CREATE INDEX duly_receipt_waiting ON duly_receipt (gateway, provider_id) WHERE applied_ms IS NULL;
CREATE INDEX duly_receipt_due ON duly_receipt (due_ms) WHERE due_ms IS NOT NULL;

-- Whom a tenant's messages no longer go to. Only a keyed hash of the address: it survives the person's erasure.
CREATE TABLE duly_suppression (
    tenant         TEXT NOT NULL,
    channel        TEXT NOT NULL,
    recipient_hash TEXT NOT NULL,
    reason         TEXT NOT NULL,
    source         TEXT NOT NULL,
    at_ms          INTEGER NOT NULL,
    PRIMARY KEY (tenant, channel, recipient_hash)
) WITHOUT ROWID;

-- Tenants whose effects wait for a person.
CREATE TABLE duly_pause (
    tenant TEXT NOT NULL PRIMARY KEY,
    reason TEXT NOT NULL,
    by_whom TEXT NOT NULL,
    at_ms  INTEGER NOT NULL
) WITHOUT ROWID;

-- Open breakers: of a gateway's account (destination ''), or of one destination.
CREATE TABLE duly_breaker (
    gateway     TEXT NOT NULL,
    destination TEXT NOT NULL,
    reason      TEXT NOT NULL,
    is_probing  INTEGER NOT NULL DEFAULT 0,
    opened_ms   INTEGER NOT NULL,
    until_ms    INTEGER NOT NULL,
    PRIMARY KEY (gateway, destination)
) WITHOUT ROWID;

-- Token buckets of gateways and of a tenant's destinations, with the time they were last looked at.
CREATE TABLE duly_allowance (
    gateway     TEXT NOT NULL,
    tenant      TEXT NOT NULL,
    destination TEXT NOT NULL,
    tokens      INTEGER NOT NULL,
    at_ms       INTEGER NOT NULL,
    PRIMARY KEY (gateway, tenant, destination)
) WITHOUT ROWID;

-- What people did to effects: each with a name and a reason.
CREATE TABLE duly_audit (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant       TEXT NOT NULL,
    effect_id    TEXT,
    verb         TEXT NOT NULL,
    by_whom      TEXT NOT NULL,
    reason       TEXT NOT NULL,
    state_before TEXT,
    state_after  TEXT,
    detail       TEXT NOT NULL DEFAULT '',
    at_ms        INTEGER NOT NULL
);
CREATE INDEX duly_audit_effect ON duly_audit (effect_id, id) WHERE effect_id IS NOT NULL;
CREATE INDEX duly_audit_tenant ON duly_audit (tenant, id);

-- What this database alone knows: the key of the hashes of recipients.
CREATE TABLE duly_fact (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO duly_fact (name, value) VALUES ('recipient_hash_key', lower(hex(randomblob(32))));

CREATE TABLE duly_anomaly (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    kind   TEXT NOT NULL,
    about  TEXT NOT NULL,
    detail TEXT NOT NULL,
    at_ms  INTEGER NOT NULL
);
CREATE INDEX duly_anomaly_tenant ON duly_anomaly (tenant, id);
