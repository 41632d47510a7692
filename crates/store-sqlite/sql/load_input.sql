-- Called by: load, on a reader, after load_checkpoints.sql.
-- Index: the unique index of the id. Lock: none.
SELECT input FROM keystep_executions WHERE id = ?1 AND run_id = ?2
