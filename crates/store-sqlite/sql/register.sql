-- Called by: register, in the writer's transaction.
-- Index: the primary key of the workers. Lock: the database's write lock.
-- A worker that has ended stays ended: no row is changed for it.
INSERT INTO keystep_workers (id, name, shapes, beat, started_at)
VALUES (?1, ?2, ?3, 0, ?4)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, shapes = excluded.shapes WHERE ended_at IS NULL
