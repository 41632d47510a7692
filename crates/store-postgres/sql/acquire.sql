-- Makes workers the owners of executions that still look as they were seen. The arrays $2-$16 are
-- sorted by id; $1 is the clock's offset in microseconds. Verdicts: 0 won, with the row as it is
-- now; 1 the row looked as seen (without a row of verdict 0: another one of the same batch won it);
-- 2 the row carries the wanted claim already; 4 lost; 5 the row is busy.
--
-- Called by the lanes. All conditions are on the locked row itself; what the new owner builds on is
-- loaded by a later statement.
-- Index: primary keys of executions, checkpoints and signals.
-- Lock: each execution FOR NO KEY UPDATE, in id order, without waiting.
WITH held AS MATERIALIZED (
    SELECT
        a.ord, a.id, a.run_id AS old_run, a.owner, a.new_token, a.keep_tries, a.lost, a.new_run,
        a.plan, a.shape, a.input, a.input_hash, a.parent,
        statement_timestamp() + $1::bigint * interval '1 microsecond' AS at,
        CASE
            WHEN x.id IS NULL THEN
                coalesce((SELECT 5 FROM {schema}.executions AS v WHERE v.id = a.id), 4)
            WHEN x.run_id = a.run_id AND x.epoch = a.epoch AND x.token = a.token
                AND x.state = a.state
                -- What was purged has nothing left to go on with.
                AND (x.purged_at IS NULL OR a.new_run IS NOT NULL) THEN 1
            WHEN x.epoch = a.epoch + 1 AND x.token = a.new_token THEN 2
            ELSE 4
        END AS verdict
    FROM
        unnest(
            $2::uuid[], $3::uuid[], $4::bigint[], $5::uuid[], $6::smallint[], $7::bigint[],
            $8::uuid[], $9::boolean[], $10::int[], $11::uuid[], $12::uuid[], $13::uuid[],
            $14::bytea[], $15::bytea[], $16::uuid[]
        ) WITH ORDINALITY AS a (
            id, run_id, epoch, token, state, owner, new_token, keep_tries, lost, new_run, plan,
            shape, input, input_hash, parent, ord
        )
    LEFT JOIN LATERAL (
        SELECT y.id, y.run_id, y.epoch, y.token, y.state, y.purged_at
        FROM {schema}.executions AS y
        WHERE y.id = a.id
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS x ON true
),
won AS (
    UPDATE {schema}.executions AS e
    SET
        state = 1,
        owner = h.owner,
        epoch = e.epoch + 1,
        token = h.new_token,
        ended_by = NULL,
        acquired_at = h.at,
        wake_at = NULL,
        finished_at = NULL,
        expires_at = NULL,
        reason = NULL,
        output_step = NULL,
        failure = NULL,
        tries = CASE WHEN h.keep_tries THEN e.tries ELSE 0 END,
        tries_seq = CASE WHEN h.keep_tries THEN e.tries_seq ELSE 0 END,
        -- A new generation where there is a new run.
        lost = CASE WHEN h.new_run IS NULL THEN e.lost + h.lost ELSE 0 END,
        generation = CASE WHEN h.new_run IS NULL THEN e.generation ELSE e.generation + 1 END,
        created_at = CASE WHEN h.new_run IS NULL THEN e.created_at ELSE h.at END,
        run_id = coalesce(h.new_run, e.run_id),
        plan = coalesce(h.plan, e.plan),
        shape = coalesce(h.shape, e.shape),
        input = coalesce(h.input, e.input),
        input_hash = coalesce(h.input_hash, e.input_hash),
        parent = CASE WHEN h.new_run IS NULL THEN e.parent ELSE h.parent END,
        cancel = CASE WHEN h.new_run IS NULL THEN e.cancel END,
        signals = CASE WHEN h.new_run IS NULL THEN e.signals END,
        purged_at = NULL
    FROM held AS h
    WHERE e.id = h.id AND h.verdict = 1
    RETURNING h.ord, h.old_run, h.new_run, {record}
),
forgotten AS (
    DELETE FROM {schema}.checkpoints AS c
    USING won AS w
    WHERE w.new_run IS NOT NULL AND c.run_id = w.old_run
),
unheard AS (
    DELETE FROM {schema}.signals AS s
    USING won AS w
    WHERE w.new_run IS NOT NULL AND s.run_id = w.old_run
)
SELECT e.ord, 0 AS verdict, {incarnation} AS incarnation, {record},
    NULL::bytea AS output
FROM won AS e
UNION ALL
SELECT
    h.ord, h.verdict, {incarnation},
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM held AS h
