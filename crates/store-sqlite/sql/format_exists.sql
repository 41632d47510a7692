-- Called by: connect and migrate, before format.sql.
-- Index: none; the list of tables is short. Lock: none, or the write lock of the migration.
SELECT count(name) FROM sqlite_schema WHERE type = 'table' AND name = 'keystep_format'
