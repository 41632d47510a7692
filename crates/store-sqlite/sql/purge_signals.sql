-- Called by: purge, in the writer's transaction, before purge_executions.sql, which picks the same rows.
-- Index: keystep_executions_expiry, then the primary key of the signals. Lock: the write lock.
DELETE FROM keystep_signals
WHERE run_id IN (
    SELECT run_id FROM keystep_executions
    WHERE expires_at IS NOT NULL AND expires_at <= ?1 AND state >= 10
    ORDER BY expires_at, rowid
    LIMIT ?2
)
