-- Makes the schema for an empty database. Not asked for where it exists, because a role may own the
-- tables' schema without the right to create one.
--
-- Called by `migrate`.
-- Index: none.
-- Lock: the catalog's.
CREATE SCHEMA IF NOT EXISTS {schema}
