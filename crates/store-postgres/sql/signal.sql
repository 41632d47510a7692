-- Sends a signal to a run, and makes it due if it waits for signals. $1 is the clock's offset in
-- microseconds, $2 the execution, $3 its run, $4 the write, $5 the signal's name, $6 what is sent, $7
-- whether one of its name is refused when there is one. No row: the run is gone. Verdicts: 1 sent, 2 sent
-- before, 3 refused, 4 the run is finished, 5 run it again (the snapshot is older than the row).
--
-- Called by `signal`.
-- Index: primary keys of executions and signals.
-- Lock: the execution FOR NO KEY UPDATE; waits for it. So the signals of a run, and what puts it down,
-- come one after the other.
WITH held AS MATERIALIZED (
    SELECT
        e.id, e.signals + 1 AS ord,
        statement_timestamp() + $1::bigint * interval '1 microsecond' AS at,
        CASE
            -- The row is as it is now, the signals are those of the snapshot.
            WHEN s.known <> e.signals THEN 5
            WHEN s.resent THEN 2
            WHEN e.state >= 10 THEN 4
            WHEN $7::boolean AND s.named THEN 3
            ELSE 1
        END AS verdict
    FROM (
        SELECT x.id, x.state, coalesce(x.signals, 0) AS signals
        FROM {schema}.executions AS x
        WHERE x.id = $2::uuid AND x.run_id = $3::uuid
        FOR NO KEY UPDATE
    ) AS e
    CROSS JOIN LATERAL (
        SELECT
            count(*) AS known,
            coalesce(bool_or(k.write_id = $4::uuid), false) AS resent,
            coalesce(bool_or(k.name = $5::text), false) AS named
        FROM {schema}.signals AS k
        WHERE k.run_id = $3
    ) AS s
),
sent AS (
    INSERT INTO {schema}.signals (run_id, ord, write_id, name, payload, sent_at)
    SELECT $3, h.ord, $4, $5, $6::bytea, h.at
    FROM held AS h
    WHERE h.verdict = 1
),
counted AS (
    UPDATE {schema}.executions AS e
    SET
        signals = h.ord,
        wake_at = CASE WHEN e.state = 2 AND e.reason = 'signal' THEN h.at ELSE e.wake_at END
    FROM held AS h
    WHERE e.id = h.id AND h.verdict = 1
)
SELECT h.verdict
FROM held AS h
