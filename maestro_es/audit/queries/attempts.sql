-- What was a step doing, in all its attempts?
SELECT number, kind, job_id, host, outcome, run_seconds
FROM v_attempt
WHERE step = :step
ORDER BY number;
