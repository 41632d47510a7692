-- Called by: commit, in the writer's transaction or a step's own, for all that ends an ownership. The
-- row of values is repeated, one for each ownership.
-- Index: the unique index of the id, then the primary key of the checkpoints.
-- Lock: the database's write lock. The fence is in the statement; a write that records a step as well
-- ends nothing unless that step is recorded by it.
-- A run that is put down to wait, or parked, is due at once when its owner does not know of a signal
-- (`heard` is how many it knows of), or of a wish to cancel it (`wish` is the one of which it knows).
WITH wanted (
    id, run_id, epoch, token, state, write_id, at, wake_at, heard, wish, failure, reason, tries,
    tries_seq, output_step, finished_at, expires_at, step
) AS (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?))
UPDATE keystep_executions AS e
SET state = w.state, owner = NULL, ended_by = w.write_id, failure = w.failure, reason = w.reason,
    wake_at = iif(
        w.state IN (2, 3) AND (w.heard < e.signals OR e.cancel <> coalesce(w.wish, 0)), w.at, w.wake_at
    ),
    cancel = iif(w.state < 10, e.cancel, NULL),
    tries = coalesce(w.tries, e.tries), tries_seq = coalesce(w.tries_seq, e.tries_seq),
    output_step = w.output_step, finished_at = w.finished_at, expires_at = w.expires_at
FROM wanted AS w
WHERE e.id = w.id AND e.run_id = w.run_id AND e.epoch = w.epoch AND e.token = w.token AND e.state = 1
    AND (w.step IS NULL OR EXISTS (
        SELECT 1 FROM keystep_checkpoints AS c
        WHERE c.run_id = w.run_id AND c.step = w.step AND c.write_id = w.write_id
    ))
