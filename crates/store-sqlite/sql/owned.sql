-- Called by: owned, on a reader.
-- Index: keystep_executions_running. Lock: none.
SELECT id, run_id, epoch, token, state
FROM keystep_executions
WHERE state = 1 AND owner = ?1
