-- Waits until nobody else holds an execution's row, and reads its claim.
--
-- Called by `confirm`: when this answers, the connection whose answer was lost has ended its
-- transaction.
-- Index: primary key of executions.
-- Lock: the row FOR NO KEY UPDATE, until the statement ends.
SELECT e.run_id, e.epoch, e.token, e.state
FROM {schema}.executions AS e
WHERE e.id = $1::uuid
FOR NO KEY UPDATE
