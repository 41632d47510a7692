-- A bare last checkpoint together with the end of the execution.
WITH ended AS (
    UPDATE {schema}.executions AS e
    SET
        state = 10, owner = NULL, ended_by = $6, output_step = $4,
        finished_at = statement_timestamp(),
        expires_at = statement_timestamp() + interval '7 days'
    WHERE e.id = $1 AND e.run_id = $2 AND e.epoch = 1 AND e.token = $3 AND e.state = 1
    RETURNING e.run_id, e.epoch
)
INSERT INTO {schema}.checkpoints (
    run_id, step, seq, epoch, worker, write_id, attempt, lost, output, recorded_at
)
SELECT h.run_id, $4, $5, h.epoch, 1, $6, 1, 0, $7, statement_timestamp()
FROM ended AS h
