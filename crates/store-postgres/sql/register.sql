-- Adds a worker, or shows again what is known of one whose answer was lost. No row: the id was used
-- before, and is dead.
--
-- Called by `register`, on the liveness session after it took the worker's lock.
-- Index: primary key of workers.
-- Lock: the worker's row.
INSERT INTO {schema}.workers AS w (id, name, shapes, backend_pid)
VALUES ($1::bigint, $2::text, $3::uuid[], CASE WHEN $4::boolean THEN pg_backend_pid() END)
ON CONFLICT (id) DO UPDATE
SET name = excluded.name, shapes = excluded.shapes, backend_pid = excluded.backend_pid
WHERE NOT w.dead
RETURNING w.id
