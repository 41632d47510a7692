-- The bare end of an execution, in one text with its last checkpoint, whose arguments it shares.
UPDATE keystep_executions
SET state = 10, owner = NULL, ended_by = ?6, output_step = ?4, finished_at = 1, expires_at = 604800000000
WHERE id = ?1 AND run_id = ?2 AND epoch = 1 AND token = ?3 AND state = 1
