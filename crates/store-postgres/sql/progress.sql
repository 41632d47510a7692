-- Puts down how far a step has come, in place of what was put down before. $1 is the clock's offset in
-- microseconds, $2-$6 the fence, $7-$13 what is put down. Verdicts: 1 written, 4 fenced, 6 the fence was
-- granted by another start of the server.
--
-- Called by `progress`.
-- Index: primary keys of executions and checkpoints.
-- Lock: the execution FOR NO KEY UPDATE; waits for it.
WITH held AS MATERIALIZED (
    SELECT
        statement_timestamp() + $1::bigint * interval '1 microsecond' AS at,
        CASE
            WHEN $6::bigint <> {incarnation} THEN 6
            WHEN e.id IS NULL THEN 4
            ELSE 1
        END AS verdict
    FROM (VALUES (true)) AS fence (is_asked)
    -- The cast keeps the planner from walking the index of running executions.
    LEFT JOIN LATERAL (
        SELECT x.id
        FROM {schema}.executions AS x
        WHERE x.id = $2::uuid AND x.run_id = $3::uuid AND x.epoch = $4::bigint
            AND x.token = $5::uuid AND x.state::int = 1
        FOR NO KEY UPDATE
    ) AS e ON true
),
put_down AS (
    INSERT INTO {schema}.checkpoints AS c (
        run_id, step, seq, epoch, worker, write_id, attempt, lost, output, recorded_at
    )
    SELECT $3, $7::text, $8::int, $4, $9::bigint, $10::uuid, $11::int, $12::int, $13::bytea, h.at
    FROM held AS h
    WHERE h.verdict = 1
    ON CONFLICT (run_id, step) DO UPDATE
    SET
        seq = excluded.seq,
        epoch = excluded.epoch,
        worker = excluded.worker,
        write_id = excluded.write_id,
        attempt = excluded.attempt,
        lost = excluded.lost,
        output = excluded.output,
        recorded_at = excluded.recorded_at
)
SELECT h.verdict
FROM held AS h
