-- Ends a worker.
--
-- Called by `retire`.
-- Index: primary key of workers.
-- Lock: the worker's row.
UPDATE {schema}.workers AS w
SET dead = true, died_at = statement_timestamp()
WHERE w.id = $1::bigint AND NOT w.dead
