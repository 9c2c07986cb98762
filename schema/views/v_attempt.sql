-- Each attempt, with its request (r), submission (j), start (b) and end (d). `outcome` says in one or two words how it
-- ended. It is `recovered` for an attempt that was in flight when the log was lost. `exit_code` is that of the step.
-- NULL means that something has not happened or is unknown. `memory` and `memory_limit` are in bytes. What the attempt
-- used is in its last event, or in a later one (u).
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
    json_extract(usage, '$.cpu') / 1e6 AS cpu_seconds,
    json_extract(usage, '$.memory') AS memory,
    json_extract(usage, '$.nodes') AS nodes,
    json_extract(usage, '$.cores') AS cores,
    json_extract(usage, '$.walltime') AS walltime_seconds,
    json_extract(usage, '$.memory_limit') AS memory_limit,
    json_extract(usage, '$.nodes') * max(ended_at - started_at, 0) / 3.6e9 AS node_hours,
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
            WHEN 'StepRecovered' THEN 'recovered'
            ELSE 'in flight'
        END AS outcome,
        coalesce(
            (SELECT json_extract(u.data, '$.usage') FROM event u
             WHERE u.step = r.step AND u.seq > r.seq AND u.type = 'UsageReported'
                 AND json_extract(u.data, '$.token') = json_extract(r.data, '$.token')
             ORDER BY u.seq DESC LIMIT 1),
            json_extract(d.data, '$.usage')
        ) AS usage,
        r.seq AS seq,
        d.seq AS last_seq
    FROM event r
    LEFT JOIN step s ON s.number = r.step
    LEFT JOIN event d ON d.seq = (
        SELECT min(x.seq) FROM event x
        WHERE x.step = r.step AND x.seq > r.seq
            AND x.type IN ('StepFinished', 'StepFailed', 'StepTimedOut', 'HardwareFailed', 'StepCancelled',
                           'SubmissionRejected', 'AttemptAbandoned', 'SubmissionWithdrawn', 'StepRecovered')
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
