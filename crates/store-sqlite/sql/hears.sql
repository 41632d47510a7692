-- Called by: signal, in the writer's transaction, before signal.sql.
-- Index: the unique index of the id, then the primary key of the signals. Lock: the database's write lock.
-- ?3 is the write, ?4 the signal's name.
SELECT e.state,
    EXISTS (SELECT 1 FROM keystep_signals AS s WHERE s.run_id = e.run_id AND s.write_id = ?3) AS resent,
    EXISTS (SELECT 1 FROM keystep_signals AS s WHERE s.run_id = e.run_id AND s.name = ?4) AS named
FROM keystep_executions AS e
WHERE e.id = ?1 AND e.run_id = ?2
