-- Finished steps whose output may not be on disk, because their host went down just after their end.
ALTER TABLE step ADD COLUMN doubted INTEGER NOT NULL DEFAULT 0;
CREATE INDEX step_doubted ON step (number) WHERE doubted = 1;

-- Each step as it stands. `held` and `skipped` are 1 if a person keeps it from being submitted, or takes it as finished;
-- `doubted` is 1 if its output is in doubt.
-- `params` is a JSON object of values; times are those of the step as a whole.
DROP VIEW IF EXISTS v_step;
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
    held,
    skipped,
    doubted,
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
