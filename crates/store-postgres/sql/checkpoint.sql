-- Records the checkpoint of an owner that goes on, and answers with its number if it was written: commit.sql
-- without what ends an execution.
--
-- Called by the lanes for a lone write.
-- Index: primary keys of executions and checkpoints.
-- Lock: the execution FOR NO KEY UPDATE, without waiting.
WITH {commit}
SELECT array_agg(h.ord) AS written
FROM held AS h
