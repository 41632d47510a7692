-- Called by: register, in the writer's transaction.
-- Index: none; the table holds one short row per process start of the last days. Lock: the write lock.
DELETE FROM keystep_workers WHERE ended_at < ?1
