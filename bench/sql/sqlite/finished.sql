-- Finished executions like the one with id ?1, with the numbers ?2 to ?3: each with an id, a key, a
-- run, a claim and writes of its own. Run ids are of version 7, from the millisecond ?4 on, ?5 in each.
WITH RECURSIVE number (n) AS (
    SELECT ?2
    UNION ALL
    SELECT n + 1 FROM number WHERE n < ?3
)
INSERT INTO keystep_executions (
    id, run_id, generation, state, epoch, token, owner, wake_at, expires_at, tries, tries_seq, lost,
    created_at, acquired_at, finished_at, plan_id, shape_id, input_hash, ended_by, reason, output_step,
    schema_name, scope, key_text, failure, input
)
SELECT
    randomblob(16), unhex(printf('%012x7%03x8%015x', ?4 + n / ?5, n % ?5, n)),
    m.generation, m.state, m.epoch, randomblob(16), m.owner, m.wake_at, m.expires_at + n,
    m.tries, m.tries_seq, m.lost, m.created_at, m.acquired_at, m.finished_at, m.plan_id, m.shape_id,
    m.input_hash, unhex(printf('%032x', n)), m.reason, m.output_step, m.schema_name, m.scope,
    'finished-' || n, m.failure, m.input
FROM number, keystep_executions AS m
WHERE m.id = ?1
