-- Called by: signal, in the writer's transaction, between hears.sql and count_signal.sql.
-- Index: the unique index of the id, then the primary key of the signals. Lock: the database's write lock.
INSERT INTO keystep_signals (run_id, ord, write_id, sent_at, name, payload)
SELECT e.run_id, e.signals + 1, ?3, ?4, ?5, ?6
FROM keystep_executions AS e
WHERE e.id = ?1 AND e.run_id = ?2
