-- Which steps had several attempts, and on which nodes?
SELECT step, count(*) - 1 AS retries, group_concat(coalesce(host, '-'), ' ') AS nodes
FROM v_attempt
GROUP BY step
HAVING count(*) > 1
ORDER BY retries DESC, step;
