-- Each process that wrote events, and how many. `driver` is what started it: cron, runner, run --wait, person or program.
-- The events of a process need not follow one another.
CREATE VIEW v_invocation AS
SELECT
    i.seq AS invocation,
    strftime('%Y-%m-%dT%H:%M:%S', i.recorded_at / 1000000, 'unixepoch')
        || printf('.%06d+00:00', i.recorded_at % 1000000) AS time,
    json_extract(i.data, '$.actor') AS actor,
    json_extract(i.data, '$.host') AS host,
    json_extract(i.data, '$.pid') AS pid,
    json_extract(i.data, '$.driver') AS driver,
    json_extract(i.data, '$.command') AS command,
    json_extract(i.data, '$.version') AS version,
    i.seq AS first_seq,
    (SELECT max(x.seq) FROM event x WHERE x.invocation = i.seq) AS last_seq,
    (SELECT count(*) FROM event x WHERE x.invocation = i.seq) AS events
FROM event i
WHERE i.type = 'InvocationStarted';
