-- Tells whether a worker counts as alive.
--
-- Called by `bury` when it changed nothing.
-- Index: workers_live.
-- Lock: none.
SELECT EXISTS (
    SELECT 1 FROM {schema}.workers AS w WHERE w.id = $1::bigint AND NOT w.dead
) AS live
