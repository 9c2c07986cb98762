-- The projection: what replaying the log adds up to. It can be deleted and rebuilt at any time.
CREATE TABLE projection (
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    applied_seq     INTEGER NOT NULL,
    reducer_version INTEGER NOT NULL,
    host            TEXT NOT NULL,  -- who wrote it last, and since which boot: another boot does not trust it
    boot_id         TEXT NOT NULL,
    study           TEXT NOT NULL  -- JSON of StudyRecord
);

CREATE TABLE template (
    name       TEXT PRIMARY KEY,
    data       TEXT NOT NULL,      -- JSON of StepTemplateAdded
    unfinished INTEGER NOT NULL    -- instances that are not finished
) WITHOUT ROWID;

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
    requested_at      INTEGER,           -- microseconds UTC, like all times
    submitted_at      INTEGER,
    started_at        INTEGER,
    missed_at         INTEGER,
    ended_at          INTEGER,
    restarts          INTEGER NOT NULL,
    hardware_failures INTEGER NOT NULL,
    rejections        INTEGER NOT NULL,
    abandoned         INTEGER NOT NULL,
    cancelling        INTEGER NOT NULL,
    exit_code         INTEGER,
    cause             TEXT,
    message           TEXT NOT NULL
);

CREATE INDEX step_in_flight ON step (number) WHERE phase IN (2, 3);
CREATE INDEX step_ready ON step (scheduled, number) WHERE phase = 1;
CREATE INDEX step_cancelling ON step (number) WHERE cancelling = 1;
CREATE INDEX step_by_row ON step (row);

CREATE TABLE edge (
    parent INTEGER NOT NULL,
    child  INTEGER NOT NULL,
    PRIMARY KEY (parent, child)
) WITHOUT ROWID;

CREATE INDEX edge_by_child ON edge (child);

CREATE TABLE funnel (
    template TEXT NOT NULL,
    child    INTEGER NOT NULL,
    PRIMARY KEY (template, child)
) WITHOUT ROWID;

CREATE INDEX funnel_by_child ON funnel (child);
