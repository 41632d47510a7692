-- Many bare checkpoints of one step at once.
WITH held AS MATERIALIZED (
    SELECT w.run_id, w.write_id, w.output
    FROM
        unnest($1::uuid[], $2::uuid[], $3::uuid[], $6::uuid[], $7::bytea[])
        AS w (id, run_id, token, write_id, output)
    CROSS JOIN LATERAL (
        SELECT e.id
        FROM {schema}.executions AS e
        WHERE e.id = w.id AND e.run_id = w.run_id AND e.epoch = 1 AND e.token = w.token AND e.state = 1
        FOR NO KEY UPDATE
    ) AS x
)
INSERT INTO {schema}.checkpoints (
    run_id, step, seq, epoch, worker, write_id, attempt, lost, output, recorded_at
)
SELECT h.run_id, $4, $5, 1, 1, h.write_id, 1, 0, h.output, statement_timestamp()
FROM held AS h
