-- Called by: cancels, on a reader.
-- Index: keystep_executions_cancelled. Lock: none.
SELECT id, run_id, cancel
FROM keystep_executions
WHERE state = 1 AND cancel IS NOT NULL AND owner = ?1
