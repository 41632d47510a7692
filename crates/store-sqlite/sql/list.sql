-- Called by: list, on a reader.
-- Index: the unique index of the id, walked upwards from ?4. Lock: none.
-- ?3 is a JSON array of state numbers, NULL for all.
SELECT
    e.id, e.run_id, e.generation, e.state, e.epoch, e.token, e.owner, e.wake_at, e.expires_at,
    e.tries, e.tries_seq, e.lost, e.created_at, e.acquired_at, e.finished_at, e.plan_id,
    e.shape_id, e.input_hash, e.reason, e.cancel, e.parent, e.purged_at, e.schema_name, e.scope, e.key_text,
    e.failure, c.output
FROM keystep_executions AS e
LEFT JOIN keystep_checkpoints AS c ON c.run_id = e.run_id AND c.step = e.output_step
WHERE e.id > ?4
  AND (?1 IS NULL OR e.schema_name = ?1)
  AND (?2 IS NULL OR e.scope = ?2)
  AND (?3 IS NULL OR e.state IN (SELECT value FROM json_each(?3)))
ORDER BY e.id
LIMIT ?5
