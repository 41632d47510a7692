-- Called by: purge, in the writer's transaction, after purge_executions.sql: the first ?2 of what is over
-- now are those that it left. Without payloads they stay until ?3.
-- Index: keystep_executions_expiry. Lock: the database's write lock.
UPDATE keystep_executions
SET input = x'', failure = NULL, output_step = NULL, signals = 0, purged_at = ?1, expires_at = ?3
WHERE rowid IN (
    SELECT rowid FROM keystep_executions
    WHERE expires_at IS NOT NULL AND expires_at <= ?1 AND state >= 10
    ORDER BY expires_at, rowid
    LIMIT ?2
)
