-- Each step as it is now. `held` is 1 if a user keeps the step from being submitted, `skipped` if a user has marked it as
-- finished, and `doubted` if its output is in doubt. `params` is a JSON object of values. The times are those of the
-- step as a whole: its first submission and start, and its end.
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
