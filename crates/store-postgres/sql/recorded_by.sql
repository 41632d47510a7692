-- Reads which write recorded a step.
--
-- Called by `confirm` after lock.sql, as a statement of its own: its snapshot must be younger than
-- the lock.
-- Index: primary key of checkpoints.
-- Lock: none.
SELECT c.write_id
FROM {schema}.checkpoints AS c
WHERE c.run_id = $1::uuid AND c.step = $2::text
