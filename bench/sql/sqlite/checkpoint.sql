-- A bare checkpoint under its fence.
INSERT INTO keystep_checkpoints (
    run_id, step, seq, epoch, worker, write_id, attempt, lost, recorded_at, output
)
SELECT e.run_id, ?4, ?5, e.epoch, 1, ?6, 1, 0, 1, ?7
FROM keystep_executions AS e
WHERE e.id = ?1 AND e.run_id = ?2 AND e.epoch = 1 AND e.token = ?3 AND e.state = 1
