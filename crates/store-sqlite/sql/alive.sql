-- Called by: bury, in the writer's transaction.
-- Index: the primary key of the workers. Lock: the database's write lock.
SELECT count(id) FROM keystep_workers WHERE id = ?1 AND ended_at IS NULL
