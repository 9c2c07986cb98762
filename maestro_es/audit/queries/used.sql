-- How much of the requested walltime, memory and cores do the steps use?
SELECT
    template,
    count(*) AS attempts,
    round(100 * max(run_seconds / walltime_seconds)) AS walltime_percent,
    round(100.0 * max(memory) / max(memory_limit)) AS memory_percent,
    round(100 * sum(cpu_seconds) / sum(cores * run_seconds)) AS cpu_percent,
    round(sum(node_hours), 1) AS node_hours
FROM v_attempt
WHERE cpu_seconds IS NOT NULL
GROUP BY template;
