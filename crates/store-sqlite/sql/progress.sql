-- Called by: progress, in the writer's transaction.
-- Index: the unique index of the id, then the primary key of the checkpoints.
-- Lock: the database's write lock. The fence is in the statement: no row under it, nothing written.
INSERT INTO keystep_checkpoints (
    run_id, step, seq, epoch, worker, write_id, attempt, lost, recorded_at, output
)
SELECT e.run_id, ?5, ?6, e.epoch, ?7, ?8, ?9, ?10, ?11, ?12
FROM keystep_executions AS e
WHERE e.id = ?1 AND e.run_id = ?2 AND e.epoch = ?3 AND e.token = ?4 AND e.state = 1
ON CONFLICT (run_id, step) DO UPDATE
SET seq = excluded.seq, epoch = excluded.epoch, worker = excluded.worker, write_id = excluded.write_id,
    attempt = excluded.attempt, lost = excluded.lost, recorded_at = excluded.recorded_at,
    output = excluded.output
