-- Called by: save_plan, in the writer's transaction.
-- Index: the unique index of the plans. Lock: the database's write lock.
INSERT INTO keystep_plans (id, shape_id, schema_name, body)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (id) DO NOTHING
