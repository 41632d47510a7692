-- Reads a page of executions, ordered by id. $1 the last id of the page before, $2 schema and $3
-- scope or NULL, $4 states (empty for all), $5 at most so many.
--
-- Called by `list`.
-- Index: primary key of executions; a rare schema or state makes it walk far.
-- Lock: none.
SELECT {record}, o.output
FROM {schema}.executions AS e
LEFT JOIN {schema}.checkpoints AS o ON o.run_id = e.run_id AND o.step = e.output_step
WHERE
    e.id > $1::uuid
    AND ($2::text IS NULL OR e.schema_name = $2)
    AND ($3::text IS NULL OR e.scope = $3)
    AND (cardinality($4::smallint[]) = 0 OR e.state = ANY ($4))
ORDER BY e.id
LIMIT $5::bigint
