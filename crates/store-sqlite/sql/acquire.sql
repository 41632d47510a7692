-- Called by: acquire (resume and take over), in the writer's transaction.
-- Index: the unique index of the id. Lock: the database's write lock, held by the transaction.
-- ?7 = 1 keeps the count of tries; ?8 is what `lost` rises by. What was purged has nothing to go on with.
UPDATE keystep_executions
SET state = 1, epoch = epoch + 1, token = ?6, owner = ?9, acquired_at = ?10,
    tries = CASE ?7 WHEN 1 THEN tries ELSE 0 END,
    tries_seq = CASE ?7 WHEN 1 THEN tries_seq ELSE 0 END,
    lost = lost + ?8,
    wake_at = NULL, expires_at = NULL, finished_at = NULL, ended_by = NULL, reason = NULL,
    output_step = NULL, failure = NULL
WHERE id = ?1 AND run_id = ?2 AND epoch = ?3 AND token = ?4 AND state = ?5
    AND purged_at IS NULL
