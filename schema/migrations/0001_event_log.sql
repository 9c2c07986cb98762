-- The event log: append-only, gapless, each row sealed by a digest over the row before it.
CREATE TABLE event (
    seq         INTEGER PRIMARY KEY CHECK (seq > 0),
    recorded_at INTEGER NOT NULL CHECK (typeof(recorded_at) = 'integer'),  -- microseconds UTC
    invocation  INTEGER NOT NULL CHECK (invocation <= seq),                -- seq of its InvocationStarted
    step        INTEGER CHECK (step IS NULL OR typeof(step) = 'integer'),  -- number of the step, or NULL
    type        TEXT NOT NULL CHECK (typeof(type) = 'text'),
    version     INTEGER NOT NULL CHECK (typeof(version) = 'integer'),
    data        TEXT NOT NULL CHECK (typeof(data) = 'text'),               -- JSON
    digest      BLOB NOT NULL CHECK (typeof(digest) = 'blob' AND length(digest) = 32)
);

CREATE INDEX event_by_step ON event (step) WHERE step IS NOT NULL;

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
