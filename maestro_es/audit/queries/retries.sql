-- How often was each step tried again, and on which nodes did its attempts run?
SELECT step, count(*) - 1 AS retries, group_concat(coalesce(host, '-'), ' ') AS nodes
FROM v_attempt
GROUP BY step
HAVING count(*) > 1
ORDER BY retries DESC, step;
