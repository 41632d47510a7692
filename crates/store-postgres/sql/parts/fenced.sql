-- The execution of a lone write, locked, as its owner's fence wants it; otherwise nothing, and judge.sql
-- says why. $2 is the start of the server that granted the fence.
FROM {schema}.executions AS x
WHERE x.id = $4::uuid AND x.run_id = $5::uuid
    AND x.epoch = $6::bigint AND x.token = $7::uuid
    AND x.state::int = 1
    AND {incarnation} = $2::bigint
FOR NO KEY UPDATE SKIP LOCKED
