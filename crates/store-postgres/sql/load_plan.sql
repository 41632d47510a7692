-- Reads a plan.
--
-- Called by `load_plan`.
-- Index: primary key of plans.
-- Lock: none.
SELECT p.id, p.shape, p.schema_name, p.body
FROM {schema}.plans AS p
WHERE p.id = $1::uuid
