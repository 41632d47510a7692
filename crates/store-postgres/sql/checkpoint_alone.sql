-- Records the checkpoint of an owner that goes on, if its fence holds; the server says whether a row was
-- written. $1 is the clock's offset in microseconds.
--
-- Called for a lone write, by its caller or a lane.
-- Index: primary keys of executions and checkpoints.
-- Lock: the execution FOR NO KEY UPDATE, without waiting.
INSERT INTO {schema}.checkpoints (
    run_id, step, seq, epoch, worker, write_id, attempt, lost, output, recorded_at
)
SELECT
    x.run_id, $12::text, $9::int, x.epoch, $3::bigint, $8::uuid, $10::int, $11::int, $13::bytea,
    statement_timestamp() + $1::bigint * interval '1 microsecond'
{fenced}
