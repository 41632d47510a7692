-- Called by: wish_cancel, in the writer's transaction.
-- Index: the unique index of the id. Lock: the database's write lock. What nobody owns is due at once.
UPDATE keystep_executions
SET cancel = ?3, wake_at = iif(state = 1, NULL, ?4)
WHERE id = ?1 AND run_id = ?2 AND state < 10
RETURNING id, run_id, epoch, token, state
