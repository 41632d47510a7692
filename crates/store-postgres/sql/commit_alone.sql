-- Records the last checkpoint of an execution together with its success, if the owner's fence holds; the
-- server says whether a row was written. $1 is the clock's offset in microseconds, $14 how many of them the
-- outcome is kept, if not for ever.
--
-- Called for a lone write, by its caller or a lane.
-- Index: primary keys of executions and checkpoints.
-- Lock: the execution FOR NO KEY UPDATE, without waiting.
WITH held AS MATERIALIZED (
    SELECT
        x.id, x.run_id, x.epoch, $8::uuid AS write_id, $12::text AS step, $9::int AS seq,
        $10::int AS attempt, $11::int AS lost, $13::bytea AS output, true AS succeeds,
        $14::bigint AS keep_us,
        statement_timestamp() + $1::bigint * interval '1 microsecond' AS at
    {fenced}
),
{success}
INSERT INTO {schema}.checkpoints (
    run_id, step, seq, epoch, worker, write_id, attempt, lost, output, recorded_at
)
SELECT
    h.run_id, h.step, h.seq, h.epoch, $3::bigint, h.write_id, h.attempt, h.lost, h.output, h.at
FROM held AS h
