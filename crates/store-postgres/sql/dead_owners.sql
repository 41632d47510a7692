-- Finds the owners of running executions that are no live workers: dead, retired or unknown.
--
-- Called by `orphans`. A worker is registered before it owns anything, so an owner that this
-- snapshot does not know as a worker never will be one.
-- Index: executions_running, one step for each owner however much it runs; workers_live.
-- Lock: none.
WITH RECURSIVE owners AS (
    (SELECT e.owner FROM {schema}.executions AS e WHERE e.state = 1 ORDER BY e.owner LIMIT 1)
    UNION ALL
    SELECT (
        SELECT e.owner FROM {schema}.executions AS e
        WHERE e.state = 1 AND e.owner > o.owner
        ORDER BY e.owner LIMIT 1
    )
    FROM owners AS o
    WHERE o.owner IS NOT NULL
)
SELECT o.owner
FROM owners AS o
LEFT JOIN {schema}.workers AS w ON w.id = o.owner AND NOT w.dead
WHERE o.owner IS NOT NULL AND w.id IS NULL
