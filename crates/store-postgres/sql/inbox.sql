-- Reads the signals that were sent to a run, in the order in which they came.
--
-- Called by `inbox`.
-- Index: primary key of signals.
-- Lock: none.
SELECT s.name, s.payload
FROM {schema}.signals AS s
WHERE s.run_id = $1::uuid
ORDER BY s.ord
