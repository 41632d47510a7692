-- Called by: orphans, on a reader.
-- Index: keystep_executions_running, hopped from owner to owner: the cost grows with the number of
-- owners and orphans, not with that of running executions. Lock: none.
-- ?1 = 1 wants the shapes of ?2 (a JSON array of hexadecimal ids), 0 all others.
WITH RECURSIVE owners (owner) AS (
    SELECT min(owner) FROM keystep_executions WHERE state = 1
    UNION ALL
    SELECT (SELECT min(e.owner) FROM keystep_executions AS e WHERE e.state = 1 AND e.owner > owners.owner)
    FROM owners
    WHERE owners.owner IS NOT NULL
)
SELECT e.id, e.run_id, e.epoch, e.token, e.state
FROM owners
CROSS JOIN keystep_executions AS e ON e.owner = owners.owner AND e.state = 1
WHERE NOT EXISTS (SELECT 1 FROM keystep_workers AS w WHERE w.id = owners.owner AND w.ended_at IS NULL)
  AND (e.shape_id IN (SELECT unhex(value) FROM json_each(?2))) = ?1
LIMIT ?3
