-- Makes a worker the one that reads the outbox, when nobody is or when that one is no live worker: dead,
-- retired or unknown. $1 the worker.
--
-- Called by `lead`. A worker is registered before it leads, so a leader that this snapshot does not know
-- as a worker never will be one. Of those who found the same leader dead, one gets its place: the row has
-- to name that leader still.
-- Index: one row; workers_live.
-- Lock: that row, if there is something to change.
WITH seen AS MATERIALIZED (
    SELECT
        r.leader, l.id IS NOT NULL AS leads,
        EXISTS (SELECT 1 FROM {schema}.workers AS w WHERE w.id = $1::bigint AND NOT w.dead) AS live
    FROM (VALUES (true)) AS relay (is_asked)
    LEFT JOIN {schema}.relay AS r ON true
    LEFT JOIN {schema}.workers AS l ON l.id = r.leader AND NOT l.dead
),
taken AS (
    INSERT INTO {schema}.relay AS r (leader)
    SELECT $1
    FROM seen AS s
    WHERE s.live AND NOT s.leads
    ON CONFLICT (only_row) DO UPDATE
    SET leader = excluded.leader
    WHERE r.leader = (SELECT s.leader FROM seen AS s)
    RETURNING r.leader
)
SELECT s.live AND (s.leader = $1 OR EXISTS (SELECT 1 FROM taken AS t)) IS TRUE AS leads
FROM seen AS s
