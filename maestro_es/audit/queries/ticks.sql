-- What did the last ticks do? Only ticks that wrote something, newest first.
SELECT invocation, time, command, pid, events
FROM v_invocation
WHERE command LIKE '%tick%'
ORDER BY invocation DESC
LIMIT 5;
