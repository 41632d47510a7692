-- Many bare last checkpoints at once, together with the ends of their executions.
WITH ended AS (
    UPDATE {schema}.executions AS e
    SET
        state = 10, owner = NULL, ended_by = w.write_id, output_step = $4,
        finished_at = statement_timestamp(),
        expires_at = statement_timestamp() + interval '7 days'
    FROM
        unnest($1::uuid[], $2::uuid[], $3::uuid[], $6::uuid[], $7::bytea[])
        AS w (id, run_id, token, write_id, output)
    WHERE e.id = w.id AND e.run_id = w.run_id AND e.epoch = 1 AND e.token = w.token AND e.state = 1
    RETURNING e.run_id, w.write_id, w.output
)
INSERT INTO {schema}.checkpoints (
    run_id, step, seq, epoch, worker, write_id, attempt, lost, output, recorded_at
)
SELECT h.run_id, $4, $5, 1, 1, h.write_id, 1, 0, h.output, statement_timestamp()
FROM ended AS h
