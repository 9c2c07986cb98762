-- How long do jobs wait in the queue, by hour of the day (in UTC)?
SELECT
    strftime('%H', submitted) AS hour,
    count(*) AS jobs,
    round(avg(queue_seconds) / 60, 1) AS mean_minutes,
    round(max(queue_seconds) / 60, 1) AS max_minutes
FROM v_wait
GROUP BY hour;
