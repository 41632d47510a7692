-- Called by: lead, in the writer's transaction, before leader.sql.
-- Index: the primary key of the workers. Lock: the database's write lock, so that one of many wins.
INSERT INTO keystep_relay (one, leader)
SELECT 1, w.id FROM keystep_workers AS w WHERE w.id = ?1 AND w.ended_at IS NULL
ON CONFLICT (one) DO UPDATE SET leader = excluded.leader
WHERE NOT EXISTS (
    SELECT 1 FROM keystep_workers AS w WHERE w.id = keystep_relay.leader AND w.ended_at IS NULL
)
