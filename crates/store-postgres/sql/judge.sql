-- Records what owners did, and says of each write what came of it. The arrays $2-$23 are sorted by id
-- with at most one write for each execution; $1 is the clock's offset in microseconds.
--
-- Called by the lanes for writes that are not the usual ones or that were not written by theirs, and with
-- a waiting lock as the last statement of a step's own transaction or for a write with messages: then
-- $24-$26 are the messages, in their order, and there is one write.
-- Index: primary keys of executions and checkpoints.
-- Lock: each execution FOR NO KEY UPDATE, in id order; by the lanes without waiting.
--
-- One row for each write of an owner: what it wants, beside the execution's row as it is now, under
-- its lock, and the checkpoint that the snapshot saw. Verdicts: 1 to be written (the two statements
-- below do it), 2 written by an earlier send, 3 recorded by another write, 4 fenced, 5 run it again
-- (the row is busy, or the snapshot too old), 6 the fence was granted by another start of the server,
-- 7 not written, because it yields to a wish to cancel (a failure whose wish is 0) and there is one.
WITH held AS MATERIALIZED (
    SELECT
        w.ord, w.id, w.run_id, w.epoch, w.write_id, w.worker, w.step, w.seq, w.attempt, w.lost,
        w.output, w.state, w.output_step, w.failure, w.tries_seq, w.tries, w.keep_us, w.delay_us,
        w.reason, w.signals, w.wish, r.write_id AS recorded_by,
        statement_timestamp() + $1::bigint * interval '1 microsecond' AS at,
        CASE
            WHEN w.incarnation <> {incarnation} THEN 6
            WHEN e.id IS NULL THEN
                coalesce((SELECT 5 FROM {schema}.executions AS v WHERE v.id = w.id), 4)
            WHEN e.run_id <> w.run_id OR e.epoch <> w.epoch OR e.token <> w.token THEN 4
            WHEN e.ended_by = w.write_id OR r.write_id = w.write_id THEN 2
            -- Not running any more. A checkpoint of this very write may be missing in a snapshot that
            -- is older than the end; then the statement is run again.
            WHEN e.state <> 1 AND w.step IS NOT NULL AND r.write_id IS NULL THEN
                CASE (SELECT v.state FROM {schema}.executions AS v WHERE v.id = w.id)
                    WHEN e.state THEN 4 ELSE 5
                END
            WHEN e.state <> 1 THEN 4
            WHEN r.write_id IS NOT NULL THEN 3
            WHEN w.state = 11 AND w.wish = 0 AND e.cancel IS NOT NULL THEN 7
            ELSE 1
        END AS verdict
    FROM
        unnest(
            $2::uuid[], $3::uuid[], $4::bigint[], $5::uuid[], $6::bigint[], $7::uuid[],
            $8::bigint[], $9::text[], $10::int[], $11::int[], $12::int[], $13::bytea[],
            $14::smallint[], $15::text[], $16::bytea[], $17::int[], $18::int[], $19::bigint[],
            $20::bigint[], $21::text[], $22::int[], $23::smallint[]
        ) WITH ORDINALITY AS w (
            id, run_id, epoch, token, incarnation, write_id, worker, step, seq, attempt, lost,
            output, state, output_step, failure, tries_seq, tries, keep_us, delay_us, reason,
            signals, wish, ord
        )
    -- A subquery that locks is never flattened: whatever the planner believes about the size of
    -- the table, it is one look into the primary key for each write.
    LEFT JOIN LATERAL (
        SELECT x.id, x.run_id, x.epoch, x.token, x.state, x.ended_by, x.cancel
        FROM {schema}.executions AS x
        WHERE x.id = w.id
        FOR NO KEY UPDATE {skip_locked}
    ) AS e ON true
    LEFT JOIN {schema}.checkpoints AS r ON r.run_id = w.run_id AND r.step = w.step
),
-- A checkpoint that appeared after the snapshot fails the statement as a duplicate, which is then
-- run again: so no row ever changes its state without its checkpoint.
recorded AS (
    INSERT INTO {schema}.checkpoints (
        run_id, step, seq, epoch, worker, write_id, attempt, lost, output, recorded_at
    )
    SELECT
        h.run_id, h.step, h.seq, h.epoch, h.worker, h.write_id, h.attempt, h.lost, h.output, h.at
    FROM held AS h
    WHERE h.verdict = 1 AND h.step IS NOT NULL
),
ended AS (
    UPDATE {schema}.executions AS e
    SET
        state = h.state,
        owner = NULL,
        ended_by = h.write_id,
        output_step = h.output_step,
        failure = h.failure,
        tries_seq = coalesce(h.tries_seq, e.tries_seq),
        tries = coalesce(h.tries, e.tries),
        reason = h.reason,
        wake_at = CASE
            -- What came while its owner was about to put it down.
            WHEN h.state IN (2, 3) AND (e.signals > h.signals OR e.cancel <> coalesce(h.wish, 0)) THEN h.at
            ELSE h.at + h.delay_us * interval '1 microsecond'
        END,
        cancel = CASE WHEN h.state < 10 THEN e.cancel END,
        finished_at = CASE WHEN h.state >= 10 THEN h.at END,
        expires_at = h.at + h.keep_us * interval '1 microsecond'
    FROM held AS h
    WHERE e.id = h.id AND h.verdict = 1 AND h.state <> 1
){emitted}
SELECT h.ord, h.verdict, h.recorded_by
FROM held AS h
