-- A bare begin: one row, no look at what is there.
INSERT INTO {schema}.executions (
    id, schema_name, scope, key, run_id, token, owner, plan, shape, input, input_hash,
    generation, epoch, state, created_at, acquired_at
)
VALUES (
    $1, 'bench.order5', '', $2, $3, $4, 1, $4, $4, $5, $6, 1, 1, 1,
    statement_timestamp(), statement_timestamp()
)
