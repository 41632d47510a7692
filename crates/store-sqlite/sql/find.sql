-- Called by: find and begin on a reader; begin and acquire in the writer's transaction.
-- Index: the unique index of the id, then the primary key of the checkpoints. Lock: none.
-- ?1 is a JSON array of ids in hexadecimal. CROSS JOIN keeps the order: ids first.
SELECT
    e.id, e.run_id, e.generation, e.state, e.epoch, e.token, e.owner, e.wake_at, e.expires_at,
    e.tries, e.tries_seq, e.lost, e.created_at, e.acquired_at, e.finished_at, e.plan_id,
    e.shape_id, e.input_hash, e.reason, e.cancel, e.parent, e.purged_at, e.schema_name, e.scope, e.key_text,
    e.failure, c.output
FROM json_each(?1) AS wanted
CROSS JOIN keystep_executions AS e ON e.id = unhex(wanted.value)
LEFT JOIN keystep_checkpoints AS c ON c.run_id = e.run_id AND c.step = e.output_step
