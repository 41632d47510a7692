-- Finds executions whose wake-up has passed. $1 is the clock's offset in microseconds; $2 shapes,
-- taken if $3 and left out otherwise; $4 at most so many. Rows that are parked, for their shape or
-- with a wish to cancel them, are for those only who know the shape.
--
-- Called by `due`.
-- Index: executions_due, in order of wake-up.
-- Lock: none; taking one up is a compare-and-set of its own.
SELECT e.id, e.run_id, e.epoch, e.token, e.state
FROM {schema}.executions AS e
WHERE
    e.wake_at <= statement_timestamp() + $1::bigint * interval '1 microsecond'
    AND (e.shape = ANY ($2::uuid[])) = $3::boolean
    AND ($3 OR e.state <> 3)
ORDER BY e.wake_at
LIMIT $4::bigint
