-- Finds what a worker is to cancel. $1 the worker.
--
-- Called by `cancels`.
-- Index: executions_cancelled.
-- Lock: none; the owner acts under its own fence.
SELECT e.id, e.run_id, e.cancel
FROM {schema}.executions AS e
WHERE e.state = 1 AND e.cancel IS NOT NULL AND e.owner = $1::bigint
