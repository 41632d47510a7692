-- Called by: commit, in the writer's transaction or a step's own, after what the messages belong to was
-- written by this very send. The row of values is repeated, one for each message.
-- Index: the unique index of the message's id. Lock: the database's write lock.
WITH wanted (id, execution, run_id, at, topic, payload) AS (VALUES (?, ?, ?, ?, ?, ?))
INSERT INTO keystep_outbox (id, execution, run_id, emitted_at, topic, payload)
SELECT id, execution, run_id, at, topic, payload
FROM wanted
WHERE id IS NOT NULL
