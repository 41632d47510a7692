-- Called by: bury, in the writer's transaction, before alive.sql.
-- Index: the primary key of the workers. Lock: the database's write lock.
UPDATE keystep_workers SET ended_at = ?3 WHERE id = ?1 AND beat = ?2 AND ended_at IS NULL
