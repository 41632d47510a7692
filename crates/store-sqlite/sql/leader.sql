-- Called by: lead, on a reader and, where nobody leads, in the writer's transaction after lead.sql.
-- Index: the primary key of the workers. Lock: none.
SELECT EXISTS (SELECT 1 FROM keystep_workers AS w WHERE w.id = ?1 AND w.ended_at IS NULL) AS live, (
    SELECT r.leader
    FROM keystep_relay AS r
    JOIN keystep_workers AS w ON w.id = r.leader
    WHERE r.one = 1 AND w.ended_at IS NULL
) AS leader
