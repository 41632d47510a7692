-- Called by: load, on a reader, before load_input.sql.
-- Index: the primary key of the checkpoints. Lock: none.
SELECT step, seq, epoch, worker, write_id, attempt, lost, recorded_at, output
FROM keystep_checkpoints
WHERE run_id = ?1
ORDER BY seq, step
