-- Called by: observe and register, on a reader.
-- Index: none; the table holds one short row per process start of the last days. Lock: none.
SELECT id, beat, shapes FROM keystep_workers WHERE ended_at IS NULL AND id <> ?1
