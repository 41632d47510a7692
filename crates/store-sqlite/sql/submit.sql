-- Called by: submit_in, in a transaction of the caller's.
-- Index: the unique index of the id. Lock: the database's write lock, held by the transaction.
-- A row that nobody owns, due at once when the transaction is committed. A key that exists is left alone.
INSERT INTO keystep_executions (
    id, run_id, generation, state, epoch, token, wake_at, created_at, acquired_at,
    plan_id, shape_id, input_hash, parent, schema_name, scope, key_text, input
)
VALUES (?1, ?2, 1, 0, 1, ?3, ?4, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
ON CONFLICT (id) DO NOTHING
