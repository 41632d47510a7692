-- Called by: commit, in the writer's transaction or a step's own. The row of values is repeated, one
-- for each checkpoint.
-- Index: the unique index of the id, then the primary key of the checkpoints.
-- Lock: the database's write lock. The fence is in the statement: no row under it, nothing written.
WITH wanted (
    id, run_id, epoch, token, step, seq, worker, write_id, attempt, lost, at, output
) AS (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?))
INSERT INTO keystep_checkpoints (
    run_id, step, seq, epoch, worker, write_id, attempt, lost, recorded_at, output
)
SELECT e.run_id, w.step, w.seq, e.epoch, w.worker, w.write_id, w.attempt, w.lost, w.at, w.output
FROM wanted AS w
CROSS JOIN keystep_executions AS e
WHERE e.id = w.id AND e.run_id = w.run_id AND e.epoch = w.epoch AND e.token = w.token AND e.state = 1
ON CONFLICT (run_id, step) DO NOTHING
