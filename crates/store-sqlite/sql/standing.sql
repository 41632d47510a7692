-- Called by: commit and confirm, in the writer's transaction, to tell why nothing was or is written.
-- Index: the unique index of the id, then the primary key of the checkpoints. Lock: the write lock.
-- ?5 is the step, NULL for a write without a checkpoint.
SELECT e.state, e.ended_by, e.cancel, c.write_id AS recorded_by
FROM keystep_executions AS e
LEFT JOIN keystep_checkpoints AS c ON c.run_id = e.run_id AND c.step = ?5
WHERE e.id = ?1 AND e.run_id = ?2 AND e.epoch = ?3 AND e.token = ?4
