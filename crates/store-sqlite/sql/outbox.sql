-- Called by: outbox, on a reader.
-- Index: the primary key of the outbox, from its start; only messages that are left out are passed over.
-- Lock: none. ?1 is a JSON array of the hexadecimal ids of executions.
SELECT id, execution, run_id, topic, payload
FROM keystep_outbox
WHERE execution NOT IN (SELECT unhex(value) FROM json_each(?1))
ORDER BY position
LIMIT ?2
