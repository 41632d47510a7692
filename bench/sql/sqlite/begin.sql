-- A bare begin: one row, no look at what is there.
INSERT INTO keystep_executions (
    id, run_id, generation, state, epoch, token, owner, created_at, acquired_at,
    plan_id, shape_id, input_hash, schema_name, scope, key_text, input
) VALUES (?1, ?3, 1, 1, 1, ?4, 1, 1, 1, ?4, ?4, ?6, 'bench.order5', '', ?2, ?5)
