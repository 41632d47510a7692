-- Finished executions like the one with id $1, with the numbers $2 to $3: each with an id, a key, a
-- run, a claim and writes of its own. Run ids are of version 7, from the millisecond $4 on, $5 in each.
--
-- Index: primary keys of executions and checkpoints, for the model.
WITH filled AS (
    INSERT INTO {schema}.executions (
        id, run_id, token, epoch, generation, owner, plan, shape, ended_by, created_at, acquired_at,
        finished_at, wake_at, expires_at, tries, tries_seq, lost, state, schema_name, scope, key,
        reason, output_step, input_hash, failure, input
    )
    SELECT
        gen_random_uuid(),
        (
            lpad(to_hex($4::bigint + n / $5::bigint), 12, '0')
            || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15)
        )::uuid,
        gen_random_uuid(), m.epoch, m.generation, m.owner, m.plan, m.shape, gen_random_uuid(),
        m.created_at, m.acquired_at, m.finished_at, m.wake_at,
        m.expires_at + n * interval '1 microsecond',
        m.tries, m.tries_seq, m.lost, m.state, m.schema_name, m.scope, 'finished-' || n,
        m.reason, m.output_step, m.input_hash, m.failure, m.input
    FROM {schema}.executions AS m, generate_series($2::bigint, $3::bigint) AS n
    WHERE m.id = $1
    RETURNING run_id, ended_by, output_step
)
INSERT INTO {schema}.checkpoints (
    run_id, write_id, epoch, worker, recorded_at, seq, attempt, lost, step, output
)
SELECT
    f.run_id,
    CASE WHEN c.step = f.output_step THEN f.ended_by ELSE gen_random_uuid() END,
    c.epoch, c.worker, c.recorded_at, c.seq, c.attempt, c.lost, c.step, c.output
FROM filled AS f, {schema}.checkpoints AS c
WHERE c.run_id = (SELECT m.run_id FROM {schema}.executions AS m WHERE m.id = $1)
