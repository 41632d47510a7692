-- Begins the transaction of a migration: read committed whatever the role's default is, so that it
-- sees what another process did while this one waited.
--
-- Called by `migrate`.
-- Index: none.
-- Lock: none.
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE
