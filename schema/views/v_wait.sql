-- The waiting time and the run time of each attempt that had a job. The waiting time of an adopted job is counted from
-- its request.
CREATE VIEW v_wait AS
SELECT step, template, number, job_id, host, submitted, queue_seconds, run_seconds, outcome
FROM v_attempt
WHERE job_id IS NOT NULL;
