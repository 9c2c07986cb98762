-- How long each attempt that had a job waited for its start, and how long it ran. The wait of an adopted job is counted
-- from its request.
CREATE VIEW v_wait AS
SELECT step, template, number, job_id, host, submitted, queue_seconds, run_seconds, outcome
FROM v_attempt
WHERE job_id IS NOT NULL;
