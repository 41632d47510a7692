-- Records the usual writes of owners, and answers with the numbers of those that were written. The
-- arrays $4-$15 are sorted by id with at most one write for each execution; $1 is the clock's offset in
-- microseconds.
--
-- Called by the lanes for a batch of writes only.
-- Index: primary keys of executions and checkpoints.
-- Lock: each execution FOR NO KEY UPDATE, in id order, without waiting.
WITH {commit},
{success}
SELECT array_agg(h.ord) AS written
FROM held AS h
