-- Called by: a step's transaction, before its checkpoint. Fails when the transaction that mark.sql
-- was in is over (an error that rolls back everything, or a COMMIT of the step's own), so that no
-- checkpoint is written beside effects that are gone.
RELEASE keystep_step
