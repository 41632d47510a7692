-- Called by: confirm, in the writer's transaction.
-- Index: the primary key of the checkpoints. Lock: the database's write lock, so that no write of
-- an open transaction can appear after the answer.
SELECT write_id FROM keystep_checkpoints WHERE run_id = ?1 AND step = ?2
