-- Many bare begins at once.
INSERT INTO {schema}.executions (
    id, schema_name, scope, key, run_id, token, owner, plan, shape, input, input_hash,
    generation, epoch, state, created_at, acquired_at
)
SELECT
    b.id, 'bench.order5', '', b.key, b.run_id, b.token, 1, b.token, b.token, b.input, b.input_hash,
    1, 1, 1, statement_timestamp(), statement_timestamp()
FROM
    unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::bytea[], $6::bytea[])
    AS b (id, key, run_id, token, input, input_hash)
