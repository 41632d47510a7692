-- Finds what runs under some owners. $1 owners; $2 shapes, taken if $3 and left out otherwise; $4 at
-- most so many.
--
-- Called by `orphans` with dead owners as constants, so that the condition is on the rows
-- themselves, and by `owned`.
-- Index: executions_running.
-- Lock: none; taking one over is a compare-and-set of its own.
SELECT e.id, e.run_id, e.epoch, e.token, e.state
FROM {schema}.executions AS e
WHERE
    e.state = 1
    AND e.owner = ANY ($1::bigint[])
    AND (e.shape = ANY ($2::uuid[])) = $3::boolean
LIMIT $4::bigint
