-- Called by: retire, in the writer's transaction.
-- Index: the primary key of the workers. Lock: the database's write lock.
UPDATE keystep_workers SET ended_at = ?2 WHERE id = ?1 AND ended_at IS NULL
