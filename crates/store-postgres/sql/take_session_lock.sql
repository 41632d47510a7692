-- Takes the lock that shows the worker's liveness session, and waits a moment for an observer that
-- holds it shared. $1
-- the key of the lock.
--
-- Called when a liveness session opens.
-- Index: none.
-- Lock: the advisory lock of the worker, for as long as the session stands.
SELECT pg_backend_pid() AS pid
FROM pg_advisory_lock($1::bigint)
