-- For each value of a parameter, in which states are its steps?
SELECT json_extract(params, '$."' || :name || '"') AS value, state, count(*) AS steps
FROM v_step
WHERE value IS NOT NULL
GROUP BY value, state;
