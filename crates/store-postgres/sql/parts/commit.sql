-- The usual writes of owners: checkpoints, the last one together with the success of its execution.
-- Whatever does not find its row as its fence wants it is not written, and judge.sql says why. $2 is
-- the start of the server that granted the fences, $3 the worker that sends them.
held AS MATERIALIZED (
    SELECT
        w.ord, w.id, w.run_id, w.epoch, w.write_id, w.step, w.seq, w.attempt, w.lost, w.output,
        w.succeeds, w.keep_us,
        statement_timestamp() + $1::bigint * interval '1 microsecond' AS at
    FROM
        unnest(
            $4::uuid[], $5::uuid[], $6::bigint[], $7::uuid[], $8::uuid[], $9::text[], $10::int[],
            $11::int[], $12::int[], $13::bytea[], $14::boolean[], $15::bigint[]
        ) WITH ORDINALITY AS w (
            id, run_id, epoch, token, write_id, step, seq, attempt, lost, output, succeeds, keep_us,
            ord
        )
    -- A subquery that locks is never flattened: whatever the planner believes about the size of
    -- the table, it is one look into the primary key for each write. The cast keeps the planner from
    -- walking the index of running executions instead, which looks cheap as long as it is empty.
    CROSS JOIN LATERAL (
        SELECT x.id
        FROM {schema}.executions AS x
        WHERE x.id = w.id AND x.run_id = w.run_id AND x.epoch = w.epoch AND x.token = w.token
            AND x.state::int = 1
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS e
    WHERE {incarnation} = $2::bigint
),
-- A checkpoint that is there already fails the statement as a duplicate, and nothing of it is
-- written: so no row ever changes its state without its checkpoint.
recorded AS (
    INSERT INTO {schema}.checkpoints (
        run_id, step, seq, epoch, worker, write_id, attempt, lost, output, recorded_at
    )
    SELECT
        h.run_id, h.step, h.seq, h.epoch, $3::bigint, h.write_id, h.attempt, h.lost, h.output, h.at
    FROM held AS h
),
ended AS (
    UPDATE {schema}.executions AS e
    SET
        state = 10,
        owner = NULL,
        ended_by = h.write_id,
        output_step = h.step,
        finished_at = h.at,
        expires_at = h.at + h.keep_us * interval '1 microsecond'
    FROM held AS h
    WHERE h.succeeds AND e.id = h.id
)
