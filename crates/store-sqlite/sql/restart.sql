-- Called by: acquire (restart), in the writer's transaction, before forget.sql and forget_signals.sql.
-- Index: the unique index of the id. Lock: the database's write lock, held by the transaction.
UPDATE keystep_executions
SET state = 1, epoch = epoch + 1, token = ?6, owner = ?7, acquired_at = ?8, created_at = ?8,
    generation = generation + 1, run_id = ?9, plan_id = ?10, shape_id = ?11, input_hash = ?12,
    input = ?13,
    tries = 0, tries_seq = 0, lost = 0,
    wake_at = NULL, expires_at = NULL, finished_at = NULL, ended_by = NULL, reason = NULL,
    cancel = NULL, signals = 0, parent = ?14, purged_at = NULL, output_step = NULL, failure = NULL
WHERE id = ?1 AND run_id = ?2 AND epoch = ?3 AND token = ?4 AND state = ?5
