-- The executions that succeed with the checkpoint that is recorded.
ended AS (
    UPDATE {schema}.executions AS e
    SET
        state = 10,
        owner = NULL,
        cancel = NULL,
        ended_by = h.write_id,
        output_step = h.step,
        finished_at = h.at,
        expires_at = h.at + h.keep_us * interval '1 microsecond'
    FROM held AS h
    WHERE h.succeeds AND e.id = h.id
)
