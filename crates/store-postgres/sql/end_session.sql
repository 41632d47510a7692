-- Ends the liveness session of a buried worker that still holds its lock: a stopped process, or one
-- behind a dead link. $1 the key of the lock, $2 its backend.
--
-- Called by `bury`, and by a worker for its own lost session; a role that may not do it is no harm.
-- Index: none (pg_locks).
-- Lock: none.
SELECT pg_terminate_backend(l.pid) AS ended
FROM pg_locks AS l
WHERE
    l.locktype = 'advisory'
    AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    AND l.classid::bigint = ($1::bigint >> 32) & 4294967295
    AND l.objid::bigint = $1 & 4294967295
    AND l.objsubid = 1
    AND l.mode = 'ExclusiveLock'
    AND l.granted
    AND l.pid = $2::int
