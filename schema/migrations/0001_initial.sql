-- The event log: append-only, gapless, each row sealed by a digest over the row before it.
CREATE TABLE event (
    seq         INTEGER PRIMARY KEY CHECK (seq > 0),
    recorded_at INTEGER NOT NULL CHECK (typeof(recorded_at) = 'integer'),  -- microseconds UTC, like all times
    invocation  INTEGER NOT NULL CHECK (invocation <= seq),                -- seq of its InvocationStarted
    step        INTEGER CHECK (step IS NULL OR typeof(step) = 'integer'),  -- number of the step, or NULL
    type        TEXT NOT NULL CHECK (typeof(type) = 'text'),
    version     INTEGER NOT NULL CHECK (typeof(version) = 'integer'),
    data        TEXT NOT NULL CHECK (typeof(data) = 'text'),               -- JSON
    digest      BLOB NOT NULL CHECK (typeof(digest) = 'blob' AND length(digest) = 32)
);

CREATE INDEX event_by_step ON event (step) WHERE step IS NOT NULL;
CREATE INDEX event_of_study ON event (type) WHERE step IS NULL;  -- the few events about the whole study
CREATE INDEX event_by_invocation ON event (invocation);          -- v_invocation counts them

CREATE TRIGGER event_is_gapless BEFORE INSERT ON event
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM event)
BEGIN
    SELECT RAISE(ABORT, 'the log is gapless: seq must be the last one plus 1');
END;

CREATE TRIGGER event_is_never_updated BEFORE UPDATE ON event
BEGIN
    SELECT RAISE(ABORT, 'the log is append-only: an event is never updated');
END;

CREATE TRIGGER event_is_never_deleted BEFORE DELETE ON event
BEGIN
    SELECT RAISE(ABORT, 'the log is append-only: an event is never deleted');
END;

-- The projection: the state that the events add up to. It can be deleted and rebuilt at any time.
CREATE TABLE projection (
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    applied_seq     INTEGER NOT NULL,
    reducer_version INTEGER NOT NULL,
    host            TEXT NOT NULL,  -- the host that wrote it last, and its boot: after a reboot it is rebuilt
    boot_id         TEXT NOT NULL,
    study           TEXT NOT NULL   -- JSON of StudyRecord
);

CREATE TABLE template (
    name       TEXT PRIMARY KEY,
    data       TEXT NOT NULL,      -- JSON of StepTemplateAdded
    unfinished INTEGER NOT NULL    -- how many of its instances have not finished
) WITHOUT ROWID;

-- One row for each step. The columns are the fields of StepRecord, which says what they mean.
CREATE TABLE step (
    number            INTEGER PRIMARY KEY,
    name              TEXT NOT NULL UNIQUE,
    template          TEXT NOT NULL,
    params            TEXT NOT NULL,     -- JSON [[key, value, label, name], ...]
    workspace         TEXT NOT NULL,
    workspaces        TEXT NOT NULL,     -- JSON {step: workspace}
    scheduled         INTEGER NOT NULL,
    row               INTEGER NOT NULL,  -- line in status.csv
    restart_limit     INTEGER NOT NULL,
    unmet             INTEGER NOT NULL,
    state             TEXT NOT NULL,
    phase             INTEGER NOT NULL,  -- 0 blocked, 1 ready, 2 requested, 3 submitted, 4 done
    kind              TEXT NOT NULL,
    attempt           INTEGER NOT NULL,
    token             TEXT NOT NULL,
    job_id            TEXT NOT NULL,
    job_host          TEXT NOT NULL,
    job_instance      TEXT NOT NULL,
    requested_at      INTEGER,
    submitted_at      INTEGER,
    started_at        INTEGER,
    missed_at         INTEGER,
    ended_at          INTEGER,
    restarts          INTEGER NOT NULL,
    hardware_failures INTEGER NOT NULL,
    rejections        INTEGER NOT NULL,
    abandoned         INTEGER NOT NULL,
    delays            INTEGER NOT NULL,  -- how many reasons to wait were recorded for its job
    cancelling        INTEGER NOT NULL,
    exit_code         INTEGER,
    cause             TEXT,
    message           TEXT NOT NULL,
    held              INTEGER NOT NULL,
    skipped           INTEGER NOT NULL,
    blocker           INTEGER,           -- number of the step because of which this one ended
    doubted           INTEGER NOT NULL,  -- finished, but its output may not be on disk: its host went down just after
    keep_script       INTEGER NOT NULL,  -- its script in the workspace runs as it is, because a user has edited it
    usage             TEXT,              -- JSON of Usage: what its last attempt used, if that is known
    stopped_in        TEXT NOT NULL DEFAULT ''  -- job in which a signal stopped it last, if this did not count
);

CREATE INDEX step_waiting ON step (number) WHERE phase IN (0, 1);
CREATE INDEX step_in_flight ON step (number) WHERE phase IN (2, 3);
CREATE INDEX step_ready ON step (scheduled, number) WHERE phase = 1 AND held = 0 AND cancelling = 0;
CREATE INDEX step_cancelling ON step (number) WHERE cancelling = 1 AND phase != 4;
CREATE INDEX step_held ON step (number) WHERE held = 1;
CREATE INDEX step_doubted ON step (number) WHERE doubted = 1;
CREATE INDEX step_by_row ON step (row);

CREATE TABLE edge (
    number INTEGER PRIMARY KEY,          -- in the order in which they were added
    parent INTEGER NOT NULL,
    child  INTEGER NOT NULL,
    UNIQUE (parent, child)
);

CREATE INDEX edge_by_child ON edge (child, parent);

CREATE TABLE funnel (
    template TEXT NOT NULL,
    child    INTEGER NOT NULL,
    PRIMARY KEY (template, child)
) WITHOUT ROWID;

CREATE INDEX funnel_by_child ON funnel (child);
