-- Stores a plan; the same content again changes nothing.
--
-- Called by `save_plan`.
-- Index: primary key of plans.
-- Lock: none on an existing row.
INSERT INTO {schema}.plans (id, shape, schema_name, body)
VALUES ($1::uuid, $2::uuid, $3::text, $4::text)
ON CONFLICT (id) DO NOTHING
