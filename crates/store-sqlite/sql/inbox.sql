-- Called by: inbox, on a reader.
-- Index: the primary key of the signals. Lock: none.
SELECT name, payload FROM keystep_signals WHERE run_id = ?1 ORDER BY ord
