-- Shows that a worker lives. No row: it was declared dead or retired, or was never registered.
--
-- Called by `beat`, on the liveness session.
-- Index: primary key of workers.
-- Lock: the worker's row.
UPDATE {schema}.workers AS w
SET beat = w.beat + 1, backend_pid = CASE WHEN $2::boolean THEN pg_backend_pid() END
WHERE w.id = $1::bigint AND NOT w.dead
RETURNING w.beat
