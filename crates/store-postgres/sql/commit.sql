-- Records what owners did. The arrays $13-$32 are sorted by id with at most one write for each
-- execution; $1 is the clock's offset in microseconds; $2-$12 belong to begins and are empty.
--
-- Called by the lanes for a batch of writes only, and with a waiting lock as the last statement of
-- a step's own transaction.
-- Index: primary keys of executions and checkpoints.
-- Lock: each execution FOR NO KEY UPDATE, in id order; by the lanes without waiting.
WITH {commit}
SELECT h.ord, h.verdict, h.recorded_by
FROM held AS h
