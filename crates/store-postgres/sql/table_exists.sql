-- Tells whether the schema and its format table are there.
--
-- Called by `migrate`.
-- Index: system catalog.
-- Lock: none.
SELECT
    EXISTS (SELECT 1 FROM pg_namespace AS n WHERE n.nspname = $1::text) AS schema_exists,
    EXISTS (
        SELECT 1 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = $1::text AND c.relname = 'format'
    ) AS format_exists
