-- Begins executions. The arrays $2-$13 are sorted by id; $1 is the clock's offset in microseconds.
-- A key that exists already gives its row back as the snapshot saw it. A key in neither answer was
-- begun by somebody else after the snapshot: read it again with another statement.
--
-- Called by the lanes for a batch of begins only, and by a caller for a lone one; so for each replay of a
-- finished key.
-- Index: primary keys of executions and checkpoints.
-- Lock: none on existing rows, which are not written either; new rows as by any insert, in id order.
WITH {begin}
SELECT
    1 AS kind, {incarnation} AS incarnation,
    {record}, o.output
FROM unnest($2::uuid[]) AS b (id)
JOIN {schema}.executions AS e ON e.id = b.id
LEFT JOIN {schema}.checkpoints AS o ON o.run_id = e.run_id AND o.step = e.output_step
UNION ALL
SELECT
    0, {incarnation},
    n.id, n.token, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM begun AS n
