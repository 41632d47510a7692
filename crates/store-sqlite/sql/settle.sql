-- Called by: commit, in the writer's transaction or a step's own, for all that ends an ownership.
-- Index: the unique index of the id. Lock: the database's write lock. The fence is in the statement.
UPDATE keystep_executions
SET state = ?5, owner = NULL, ended_by = ?6, wake_at = ?7, failure = ?8, parked = ?9,
    tries = coalesce(?10, tries), tries_seq = coalesce(?11, tries_seq),
    output_step = ?12, finished_at = ?13, expires_at = ?14
WHERE id = ?1 AND run_id = ?2 AND epoch = ?3 AND token = ?4 AND state = 1
