-- Called by: begin, in the writer's transaction.
-- Index: the unique index of the id. Lock: the database's write lock, held by the transaction.
-- A key that exists is left alone; the caller then reads it with find.sql, a statement of its own.
INSERT INTO keystep_executions (
    id, run_id, generation, state, epoch, token, owner, created_at, acquired_at,
    plan_id, shape_id, input_hash, schema_name, scope, key_text, input
) VALUES (?1, ?2, 1, 1, 1, ?3, ?4, ?5, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
ON CONFLICT (id) DO NOTHING
