-- Each event, and the process that wrote it. `attempt` is the last attempt of the step that was requested up to then.
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
