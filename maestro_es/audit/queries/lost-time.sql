-- How much time was lost in unsuccessful attempts?
SELECT outcome, count(*) AS attempts, round(sum(run_seconds) / 3600, 1) AS hours
FROM v_attempt
WHERE outcome NOT IN ('finished', 'in flight')
GROUP BY outcome
ORDER BY hours DESC;
