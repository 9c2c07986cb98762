-- What ran on a node, at any time between two times (in UTC, such as 2026-01-31T02:00)?
SELECT step, number, job_id, started, ended, outcome
FROM v_attempt
WHERE host = :node AND coalesce(ended, '9') > :since AND started < :until
ORDER BY started;
