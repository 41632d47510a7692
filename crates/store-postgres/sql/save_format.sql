-- Notes which migrations have run.
--
-- Called by `migrate` at the end of its transaction.
-- Index: one row.
-- Lock: that row.
INSERT INTO {schema}.format AS f (version, min_reader)
VALUES ($1::int, $2::int)
ON CONFLICT (only_row) DO UPDATE
SET version = excluded.version, min_reader = excluded.min_reader, migrated_at = clock_timestamp()
