-- What is the state of the steps with each value of a parameter?
SELECT json_extract(params, '$."' || :name || '"') AS value, state, count(*) AS steps
FROM v_step
WHERE value IS NOT NULL
GROUP BY value, state;
