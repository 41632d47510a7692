-- Called by: children, on a reader.
-- Index: keystep_executions_called. Lock: none.
SELECT id, run_id, epoch, token, state
FROM keystep_executions
WHERE parent IS NOT NULL AND state < 10 AND parent = ?1
