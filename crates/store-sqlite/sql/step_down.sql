-- Called by: step_down, in the writer's transaction. No worker has the id 0.
-- Index: the one row. Lock: the database's write lock.
UPDATE keystep_relay SET leader = 0 WHERE one = 1 AND leader = ?1
