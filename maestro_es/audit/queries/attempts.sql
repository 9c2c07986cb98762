-- How did all attempts of a step end?
SELECT number, kind, job_id, host, outcome, run_seconds
FROM v_attempt
WHERE step = :step
ORDER BY number;
