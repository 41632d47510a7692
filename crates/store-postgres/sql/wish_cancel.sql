-- Notes the wish to cancel a run; what nobody owns is due at once. $1 is the clock's offset in
-- microseconds, $2 the execution, $3 its run, $4 the wish. No row: it is finished or gone.
--
-- Called by `wish_cancel`.
-- Index: primary key of executions.
-- Lock: the execution; waits for it, and all conditions are on the row itself.
UPDATE {schema}.executions AS e
SET
    cancel = $4::smallint,
    wake_at = CASE
        WHEN e.state <> 1 THEN statement_timestamp() + $1::bigint * interval '1 microsecond'
    END
WHERE e.id = $2::uuid AND e.run_id = $3::uuid AND e.state < 10
RETURNING e.id, e.run_id, e.epoch, e.token, e.state
