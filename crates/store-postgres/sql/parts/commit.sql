-- The usual writes of owners: checkpoints, the last one together with the success of its execution.
-- Whatever does not find its row as its fence wants it is not written, and judge.sql says why. $2 is
-- the start of the server that granted the fences, $3 the worker that sends them.
held AS MATERIALIZED (
    SELECT
        w.ord, e.id, e.run_id, e.epoch, ($8::uuid[])[w.ord] AS write_id, w.step,
        ($9::int[])[w.ord] AS seq, ($10::int[])[w.ord] AS attempt, ($11::int[])[w.ord] AS lost,
        w.output, ($12::boolean[])[w.ord] AS succeeds,
        nullif(($13::bigint[])[w.ord], -1) AS keep_us,
        statement_timestamp() + $1::bigint * interval '1 microsecond' AS at
    -- An array of values of one length is read at a place at once, others only from their start.
    FROM unnest($14::text[], $15::bytea[]) WITH ORDINALITY AS w (step, output, ord)
    -- A subquery that locks is never flattened: whatever the planner believes about the size of
    -- the table, it is one look into the primary key for each write. The cast keeps the planner from
    -- walking the index of running executions instead, which looks cheap as long as it is empty.
    CROSS JOIN LATERAL (
        SELECT x.id, x.run_id, x.epoch
        FROM {schema}.executions AS x
        WHERE x.id = ($4::uuid[])[w.ord] AND x.run_id = ($5::uuid[])[w.ord]
            AND x.epoch = ($6::bigint[])[w.ord] AND x.token = ($7::uuid[])[w.ord]
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
)
