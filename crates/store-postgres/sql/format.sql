-- Reads the version of the tables, and the oldest version of programs that may use them.
--
-- Called when a handle opens, until it is good, and once a minute by `beat`.
-- Index: one row.
-- Lock: none.
SELECT f.version, f.min_reader
FROM {schema}.format AS f
