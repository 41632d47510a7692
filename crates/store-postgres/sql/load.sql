-- Reads what a run has done: first its input (seq -1), at the server's present time, then its
-- checkpoints by position. No row at all when the execution is gone or on another run.
--
-- Called by `load`, after an acquisition and never as a part of it: the snapshot of a statement that
-- waits for a lock is older than what it waited for.
-- Index: primary keys of executions and checkpoints.
-- Lock: none.
SELECT
    -1 AS seq, NULL::text AS step, e.epoch, NULL::bigint AS worker, NULL::uuid AS write_id,
    NULL::int AS attempt, NULL::int AS lost, statement_timestamp() AS recorded_at, e.input AS payload
FROM {schema}.executions AS e
WHERE e.id = $1::uuid AND e.run_id = $2::uuid
UNION ALL
SELECT
    c.seq, c.step, c.epoch, c.worker, c.write_id, c.attempt, c.lost, c.recorded_at, c.output
FROM {schema}.executions AS e
JOIN {schema}.checkpoints AS c ON c.run_id = e.run_id
WHERE e.id = $1 AND e.run_id = $2
ORDER BY seq, step
