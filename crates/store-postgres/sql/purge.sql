-- Deletes a batch of executions whose retention has ended, with their checkpoints and signals. $1 is the
-- clock's offset in microseconds, $2 at most so many; with $3 what was not purged before leaves a row
-- without payloads for so many microseconds.
--
-- Called by `purge`.
-- Index: executions_expiring, then the primary keys.
-- Lock: the rows FOR UPDATE; those that somebody else holds are left for the next time.
WITH expired AS MATERIALIZED (
    SELECT
        e.id, e.run_id, $3::bigint IS NOT NULL AND e.purged_at IS NULL AS stays
    FROM {schema}.executions AS e
    WHERE
        e.state >= 10
        AND e.expires_at <= statement_timestamp() + $1::bigint * interval '1 microsecond'
    ORDER BY e.expires_at
    LIMIT $2::bigint
    FOR UPDATE SKIP LOCKED
),
-- By arrays and not by joins: a planner that does not know $2 expects a tenth of the table, and would
-- read all of it where nothing forbids that (through a transaction pooler).
forgotten AS (
    DELETE FROM {schema}.checkpoints AS c
    WHERE c.run_id = ANY (ARRAY(SELECT x.run_id FROM expired AS x))
),
unheard AS (
    DELETE FROM {schema}.signals AS s
    WHERE s.run_id = ANY (ARRAY(SELECT x.run_id FROM expired AS x))
),
emptied AS (
    UPDATE {schema}.executions AS e
    SET
        input = '',
        failure = NULL,
        output_step = NULL,
        signals = NULL,
        purged_at = statement_timestamp() + $1 * interval '1 microsecond',
        expires_at = statement_timestamp() + ($1 + $3) * interval '1 microsecond'
    WHERE e.id = ANY (ARRAY(SELECT x.id FROM expired AS x WHERE x.stays))
),
gone AS (
    DELETE FROM {schema}.executions AS e
    WHERE e.id = ANY (ARRAY(SELECT x.id FROM expired AS x WHERE NOT x.stays))
)
SELECT count(x.id) AS purged
FROM expired AS x
