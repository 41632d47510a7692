-- Puts an execution down that nobody owns, due at once. $1 is the clock's offset in microseconds, $2-$12
-- what it begins with. No row: its key has one already.
--
-- Called by `submit_in`, in a transaction of the caller.
-- Index: primary key of executions.
-- Lock: none on an existing row; a new one as by any insert.
INSERT INTO {schema}.executions AS e (
    id, schema_name, scope, key, run_id, token, plan, shape, input, input_hash, parent, generation,
    epoch, state, wake_at, created_at, acquired_at
)
SELECT
    $2::uuid, $3::text, $4::text, $5::text, $6::uuid, $7::uuid, $8::uuid, $9::uuid, $10::bytea,
    $11::bytea, $12::uuid, 1, 1, 0, n.at, n.at, n.at
FROM (SELECT statement_timestamp() + $1::bigint * interval '1 microsecond' AS at) AS n
ON CONFLICT (id) DO NOTHING
RETURNING e.id
