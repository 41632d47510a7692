-- Finds what a step of an execution has called and is not finished. $1 the caller.
--
-- Called by `children`.
-- Index: executions_called.
-- Lock: none.
SELECT e.id, e.run_id, e.epoch, e.token, e.state
FROM {schema}.executions AS e
WHERE e.parent = $1::uuid AND e.state < 10
