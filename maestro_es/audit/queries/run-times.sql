-- How long does each kind of step take?
SELECT
    template,
    count(*) AS runs,
    round(avg(run_seconds) / 60, 1) AS mean_minutes,
    round(max(run_seconds) / 60, 1) AS max_minutes
FROM v_attempt
WHERE outcome = 'finished'
GROUP BY template;
