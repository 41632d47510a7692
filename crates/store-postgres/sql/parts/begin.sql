begun AS (
    INSERT INTO {schema}.executions (
        id, schema_name, scope, key, run_id, token, owner, plan, shape, input, input_hash, parent,
        generation, epoch, state, created_at, acquired_at
    )
    SELECT
        b.id, b.schema_name, b.scope, b.key, b.run_id, b.token, b.owner, b.plan, b.shape, b.input,
        b.input_hash, b.parent, 1, 1, 1,
        statement_timestamp() + $1::bigint * interval '1 microsecond',
        statement_timestamp() + $1::bigint * interval '1 microsecond'
    FROM
        unnest(
            $2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::uuid[], $8::bigint[],
            $9::uuid[], $10::uuid[], $11::bytea[], $12::bytea[], $13::uuid[]
        ) AS b (
            id, schema_name, scope, key, run_id, token, owner, plan, shape, input, input_hash, parent
        )
    ON CONFLICT (id) DO NOTHING
    RETURNING id, token
)
