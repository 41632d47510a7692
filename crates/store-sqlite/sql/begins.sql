-- Called by: begin, in the writer's transaction. The row of values is repeated, one for each begin.
-- Index: the unique index of the id. Lock: the database's write lock, held by the transaction.
-- A key that exists is left alone; the caller then reads it with find.sql, a statement of its own.
WITH wanted (
    id, run_id, token, owner, at, plan_id, shape_id, input_hash, parent, schema_name, scope, key_text, input
) AS (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?))
INSERT INTO keystep_executions (
    id, run_id, generation, state, epoch, token, owner, created_at, acquired_at,
    plan_id, shape_id, input_hash, parent, schema_name, scope, key_text, input
)
SELECT id, run_id, 1, 1, 1, token, owner, at, at, plan_id, shape_id, input_hash, parent, schema_name, scope,
    key_text, input
FROM wanted
WHERE id IS NOT NULL
ON CONFLICT (id) DO NOTHING
