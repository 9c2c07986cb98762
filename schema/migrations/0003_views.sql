-- Views for questions in SQL, by whatever program: times as ISO 8601 in UTC, payloads spelt out. They stand on the log;
-- the names of steps and all of v_step are the projection's, as the program that wrote last has left it.

-- Which events a process wrote: what v_invocation counts.
CREATE INDEX event_by_invocation ON event (invocation);

-- Each event, with who wrote it. `attempt`: the last one of its step that was requested up to then.
CREATE VIEW v_event AS
SELECT
    e.seq,
    strftime('%Y-%m-%dT%H:%M:%S', e.recorded_at / 1000000, 'unixepoch')
        || printf('.%06d+00:00', e.recorded_at % 1000000) AS time,
    json_extract(i.data, '$.actor') AS actor,
    json_extract(i.data, '$.host') AS host,
    json_extract(i.data, '$.command') AS command,
    e.invocation,
    s.name AS step,
    s.template,
    (SELECT json_extract(r.data, '$.attempt') FROM event r
     WHERE r.step = e.step AND r.seq <= e.seq AND r.type = 'SubmissionRequested'
     ORDER BY r.seq DESC LIMIT 1) AS attempt,
    e.type,
    e.data
FROM event e
LEFT JOIN step s ON s.number = e.step
LEFT JOIN event i ON i.seq = e.invocation;

-- Each attempt: from its request (r) over its submission (j) and start (b) to its end (d). `outcome` says how it ended
-- in a word or two; `exit_code` is that of the step. NULL: has not happened, or is not known.
CREATE VIEW v_attempt AS
SELECT
    step,
    template,
    number,
    kind,
    token,
    job_id,
    adopted,
    host,
    strftime('%Y-%m-%dT%H:%M:%S', requested_at / 1000000, 'unixepoch')
        || printf('.%06d+00:00', requested_at % 1000000) AS requested,
    strftime('%Y-%m-%dT%H:%M:%S', submitted_at / 1000000, 'unixepoch')
        || printf('.%06d+00:00', submitted_at % 1000000) AS submitted,
    strftime('%Y-%m-%dT%H:%M:%S', started_at / 1000000, 'unixepoch')
        || printf('.%06d+00:00', started_at % 1000000) AS started,
    strftime('%Y-%m-%dT%H:%M:%S', ended_at / 1000000, 'unixepoch')
        || printf('.%06d+00:00', ended_at % 1000000) AS ended,
    max(started_at - CASE WHEN adopted THEN requested_at ELSE submitted_at END, 0) / 1e6 AS queue_seconds,
    max(ended_at - started_at, 0) / 1e6 AS run_seconds,
    exit_code,
    outcome,
    seq,
    last_seq
FROM (
    SELECT
        s.name AS step,
        s.template,
        json_extract(r.data, '$.attempt') AS number,
        json_extract(r.data, '$.kind') AS kind,
        json_extract(r.data, '$.token') AS token,
        json_extract(j.data, '$.job_id') AS job_id,
        coalesce(json_extract(j.data, '$.adopted'), 0) AS adopted,
        (SELECT json_extract(x.data, '$.host') FROM event x
         WHERE x.step = r.step AND x.seq > r.seq AND x.seq < coalesce(d.seq, 9e18)
             AND x.type IN ('JobSubmitted', 'JobStarted') AND json_extract(x.data, '$.host') IS NOT NULL
         ORDER BY x.seq DESC LIMIT 1) AS host,
        r.recorded_at AS requested_at,
        j.recorded_at AS submitted_at,
        json_extract(b.data, '$.at') AS started_at,
        coalesce(json_extract(d.data, '$.at'), d.recorded_at) AS ended_at,
        CASE d.type
            WHEN 'StepFinished' THEN coalesce(json_extract(d.data, '$.exit_code'), 0)
            WHEN 'StepFailed' THEN json_extract(d.data, '$.exit_code')
        END AS exit_code,
        CASE d.type
            WHEN 'StepFinished' THEN 'finished'
            WHEN 'StepFailed' THEN 'failed'
            WHEN 'StepTimedOut' THEN 'timed out'
            WHEN 'HardwareFailed' THEN 'hardware failed'
            WHEN 'StepCancelled' THEN 'cancelled'
            WHEN 'SubmissionRejected' THEN 'rejected'
            WHEN 'AttemptAbandoned' THEN 'abandoned'
            WHEN 'SubmissionWithdrawn' THEN 'withdrawn'
            ELSE 'in flight'
        END AS outcome,
        r.seq AS seq,
        d.seq AS last_seq
    FROM event r
    LEFT JOIN step s ON s.number = r.step
    LEFT JOIN event d ON d.seq = (
        SELECT min(x.seq) FROM event x
        WHERE x.step = r.step AND x.seq > r.seq
            AND x.type IN ('StepFinished', 'StepFailed', 'StepTimedOut', 'HardwareFailed', 'StepCancelled',
                           'SubmissionRejected', 'AttemptAbandoned', 'SubmissionWithdrawn')
    )
    LEFT JOIN event j ON j.seq = (
        SELECT max(x.seq) FROM event x
        WHERE x.step = r.step AND x.seq > r.seq AND x.seq < coalesce(d.seq, 9e18) AND x.type = 'JobSubmitted'
    )
    LEFT JOIN event b ON b.seq = (
        SELECT max(x.seq) FROM event x
        WHERE x.step = r.step AND x.seq > r.seq AND x.seq < coalesce(d.seq, 9e18) AND x.type = 'JobStarted'
    )
    WHERE r.type = 'SubmissionRequested' AND r.step IS NOT NULL
);

-- How long each attempt that had a job waited for its start, and ran. That of an adopted job is counted from its request.
CREATE VIEW v_wait AS
SELECT step, template, number, job_id, host, submitted, queue_seconds, run_seconds, outcome
FROM v_attempt
WHERE job_id IS NOT NULL;

-- Each step as it stands. `params` is a JSON object of values; times are those of the step as a whole.
CREATE VIEW v_step AS
SELECT
    number,
    name,
    template,
    (SELECT json_group_object(json_extract(p.value, '$[0]'), json_extract(p.value, '$[1]'))
     FROM json_each(step.params) p) AS params,
    state,
    CASE phase
        WHEN 0 THEN 'BLOCKED' WHEN 1 THEN 'READY' WHEN 2 THEN 'REQUESTED' WHEN 3 THEN 'SUBMITTED' WHEN 4 THEN 'DONE'
    END AS phase,
    nullif(job_id, '') AS job_id,
    nullif(job_host, '') AS host,
    workspace,
    strftime('%Y-%m-%dT%H:%M:%S', submitted_at / 1000000, 'unixepoch')
        || printf('.%06d+00:00', submitted_at % 1000000) AS submitted,
    strftime('%Y-%m-%dT%H:%M:%S', started_at / 1000000, 'unixepoch')
        || printf('.%06d+00:00', started_at % 1000000) AS started,
    strftime('%Y-%m-%dT%H:%M:%S', ended_at / 1000000, 'unixepoch')
        || printf('.%06d+00:00', ended_at % 1000000) AS ended,
    attempt AS attempts,
    restarts,
    hardware_failures,
    exit_code,
    cause,
    nullif(message, '') AS message
FROM step;

-- Each process that wrote, and how much. Its events need not follow one another.
CREATE VIEW v_invocation AS
SELECT
    i.seq AS invocation,
    strftime('%Y-%m-%dT%H:%M:%S', i.recorded_at / 1000000, 'unixepoch')
        || printf('.%06d+00:00', i.recorded_at % 1000000) AS time,
    json_extract(i.data, '$.actor') AS actor,
    json_extract(i.data, '$.host') AS host,
    json_extract(i.data, '$.pid') AS pid,
    json_extract(i.data, '$.command') AS command,
    json_extract(i.data, '$.version') AS version,
    i.seq AS first_seq,
    (SELECT max(x.seq) FROM event x WHERE x.invocation = i.seq) AS last_seq,
    (SELECT count(*) FROM event x WHERE x.invocation = i.seq) AS events
FROM event i
WHERE i.type = 'InvocationStarted';
