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

-- One row per commit that raised messages; an event's position is first_position + ordinal.
CREATE TABLE duly_commit_log (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant         TEXT NOT NULL,
    events         INTEGER NOT NULL,
    first_position INTEGER,
    at_ms          INTEGER NOT NULL
);

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

-- Personal fields beside the immutable row, keyed by subject, so that erasing a person is a delete.
CREATE TABLE duly_personal (
    message_id TEXT NOT NULL PRIMARY KEY,
    tenant     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    body       TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX duly_personal_subject ON duly_personal (tenant, subject);

CREATE TABLE duly_subscriber (
    no   INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE
);

-- Promises: one narrow row per (message, subscriber); inserted and deleted, never updated.
CREATE TABLE duly_outbox (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    subscriber_no INTEGER NOT NULL,
    bucket        INTEGER NOT NULL,
    lane          TEXT NOT NULL,
    commit_id     INTEGER NOT NULL,
    ordinal       INTEGER NOT NULL
);

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

CREATE TABLE duly_effect (
    id           TEXT NOT NULL PRIMARY KEY,
    no           INTEGER NOT NULL,          -- order of request, for pages
    tenant       TEXT NOT NULL,
    type         TEXT NOT NULL,
    channel      TEXT NOT NULL,
    gateway      TEXT NOT NULL,
    key          TEXT NOT NULL,
    digest       TEXT NOT NULL,
    state        TEXT NOT NULL,
    reason       TEXT NOT NULL DEFAULT '',
    provider_id  TEXT,
    handler      TEXT NOT NULL,
    chain        TEXT NOT NULL,
    trace        TEXT,
    counted      INTEGER NOT NULL DEFAULT 0, -- attempts that count against the schedule
    attempts     INTEGER NOT NULL DEFAULT 0,
    requested_ms INTEGER NOT NULL,
    changed_ms   INTEGER NOT NULL,
    due_ms       INTEGER,
    token        TEXT,
    lease_ms     INTEGER
);
CREATE UNIQUE INDEX duly_effect_page ON duly_effect (tenant, no);
CREATE INDEX duly_effect_due ON duly_effect (gateway, due_ms) WHERE state IN ('requested', 'queued', 'held');
CREATE INDEX duly_effect_lease ON duly_effect (lease_ms) WHERE state = 'attempting';
CREATE UNIQUE INDEX duly_effect_no ON duly_effect (no);

-- Address and rendered request beside the fact, keyed by subject.
CREATE TABLE duly_effect_content (
    effect_id    TEXT NOT NULL PRIMARY KEY,
    tenant       TEXT NOT NULL,
    subject      TEXT NOT NULL,
    recipient    TEXT NOT NULL,
    summary      TEXT NOT NULL,
    content_type TEXT NOT NULL,
    body         BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX duly_effect_content_subject ON duly_effect_content (tenant, subject);

CREATE TABLE duly_attempt (
    effect_id   TEXT NOT NULL,
    number      INTEGER NOT NULL,
    owner       TEXT NOT NULL,
    token       TEXT NOT NULL,
    key         TEXT NOT NULL,
    digest      TEXT NOT NULL,
    origin      TEXT NOT NULL,
    started_ms  INTEGER NOT NULL,
    ended_ms    INTEGER,
    outcome     TEXT,
    evidence    TEXT NOT NULL DEFAULT '',
    provider_id TEXT,
    PRIMARY KEY (effect_id, number)
) WITHOUT ROWID;

CREATE TABLE duly_anomaly (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    kind   TEXT NOT NULL,
    about  TEXT NOT NULL,
    detail TEXT NOT NULL,
    at_ms  INTEGER NOT NULL
);
CREATE INDEX duly_anomaly_tenant ON duly_anomaly (tenant, id);
