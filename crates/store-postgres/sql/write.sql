-- Begins executions and records what owners did, in one statement and one commit: begin.sql and
-- commit.sql together.
--
-- Called by the lanes for a batch of both.
-- Index: primary keys of executions and checkpoints.
-- Lock: as begin.sql and commit.sql. Nothing here waits for the lock of an existing row.
WITH {begin},
{commit}
SELECT
    1 AS kind, {incarnation} AS incarnation,
    {record}, o.output,
    NULL::bigint AS ord, NULL::int AS verdict, NULL::uuid AS recorded_by
FROM unnest($2::uuid[]) AS b (id)
JOIN {schema}.executions AS e ON e.id = b.id
LEFT JOIN {schema}.checkpoints AS o ON o.run_id = e.run_id AND o.step = e.output_step
UNION ALL
SELECT
    0, {incarnation},
    n.id, n.token, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL
FROM begun AS n
UNION ALL
SELECT
    2, {incarnation},
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    h.ord, h.verdict, h.recorded_by
FROM held AS h
