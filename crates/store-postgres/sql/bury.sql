-- Declares a worker dead, if it has not beaten since it was observed.
--
-- Called by `bury`.
-- Index: primary key of workers.
-- Lock: the worker's row.
UPDATE {schema}.workers AS w
SET dead = true, died_at = statement_timestamp()
WHERE w.id = $1::bigint AND w.beat = $2::bigint AND NOT w.dead
RETURNING w.backend_pid
