-- Called by: acquire (restart), in the writer's transaction, after restart.sql.
-- Index: the primary key of the signals. Lock: the database's write lock.
DELETE FROM keystep_signals WHERE run_id = ?1
