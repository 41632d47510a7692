-- Called by: purge, in the writer's transaction, after purge_checkpoints.sql and purge_signals.sql, which
-- pick the same rows, and before remember.sql.
-- Index: keystep_executions_expiry. Lock: the database's write lock.
-- With ?3 = 1 only those that were purged before are deleted.
DELETE FROM keystep_executions
WHERE rowid IN (
    SELECT rowid FROM keystep_executions
    WHERE expires_at IS NOT NULL AND expires_at <= ?1 AND state >= 10
    ORDER BY expires_at, rowid
    LIMIT ?2
) AND (?3 = 0 OR purged_at IS NOT NULL)
