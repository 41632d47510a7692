-- Leaves the outbox to whoever asks to lead next. $1 the worker; no worker has the id 0.
--
-- Called by `step_down`.
-- Index: one row.
-- Lock: that row, if the worker leads.
UPDATE {schema}.relay
SET leader = 0
WHERE leader = $1::bigint
