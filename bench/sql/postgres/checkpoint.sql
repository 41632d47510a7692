-- A bare checkpoint: the row's lock, the fence, and the step's row.
WITH held AS (
    SELECT e.run_id, e.epoch
    FROM {schema}.executions AS e
    WHERE e.id = $1 AND e.run_id = $2 AND e.epoch = 1 AND e.token = $3 AND e.state = 1
    FOR NO KEY UPDATE
)
INSERT INTO {schema}.checkpoints (
    run_id, step, seq, epoch, worker, write_id, attempt, lost, output, recorded_at
)
SELECT h.run_id, $4, $5, h.epoch, 1, $6, 1, 0, $7, statement_timestamp()
FROM held AS h
