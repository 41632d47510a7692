-- Called by: signal, in the writer's transaction, after signal.sql.
-- Index: the unique index of the id. Lock: the database's write lock, so that no owner puts the run down
-- between the two. A run that waits for signals is due at once.
UPDATE keystep_executions
SET signals = signals + 1, wake_at = iif(state = 2 AND reason = 'signal', ?3, wake_at)
WHERE id = ?1 AND run_id = ?2
