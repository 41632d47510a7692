-- Called by: due, on a reader.
-- Index: keystep_executions_due, which holds only rows with a wake-up. Lock: none.
-- ?2 = 1 wants the shapes of ?3 (a JSON array of hexadecimal ids), 0 all others. Parked executions
-- (state 3) are due only for a process that names their shape.
SELECT id, run_id, epoch, token, state
FROM keystep_executions
WHERE wake_at IS NOT NULL AND wake_at <= ?1
  AND (shape_id IN (SELECT unhex(value) FROM json_each(?3))) = ?2
  AND (?2 = 1 OR state <> 3)
ORDER BY wake_at
LIMIT ?4
