-- Reads executions by id.
--
-- Called by `find`, and by the lanes for keys that somebody else began at the same moment.
-- Index: primary keys of executions and checkpoints.
-- Lock: none.
SELECT {record}, o.output
FROM {schema}.executions AS e
LEFT JOIN {schema}.checkpoints AS o ON o.run_id = e.run_id AND o.step = e.output_step
WHERE e.id = ANY ($1::uuid[])
