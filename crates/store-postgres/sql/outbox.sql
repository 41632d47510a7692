-- Reads the oldest messages that are not delivered. $1 executions that are left out, $2 at most so many.
--
-- Called by `outbox`.
-- Index: primary key of outbox, from its start.
-- Lock: none; one worker at a time reads them.
SELECT m.id, m.execution, m.run_id, m.topic, m.payload
FROM {schema}.outbox AS m
WHERE m.execution <> ALL ($1::uuid[])
ORDER BY m.position
LIMIT $2::bigint
