-- Called by: purge, in the writer's transaction, after purge_checkpoints.sql, which picks the same rows.
-- Index: keystep_executions_expiry. Lock: the database's write lock.
DELETE FROM keystep_executions
WHERE rowid IN (
    SELECT rowid FROM keystep_executions
    WHERE expires_at IS NOT NULL AND expires_at <= ?1 AND state >= 10
    ORDER BY expires_at, rowid
    LIMIT ?2
)
