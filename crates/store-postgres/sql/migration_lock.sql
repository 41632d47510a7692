-- Lets one process at a time migrate a schema; the others wait, no longer than lock_timeout.
--
-- Called by `migrate` at the start of its transaction.
-- Index: none.
-- Lock: an advisory lock of the schema's name, until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('keystep migration ' || $1::text, 0))
