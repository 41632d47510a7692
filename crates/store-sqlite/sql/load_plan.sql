-- Called by: load_plan and save_plan, on a reader.
-- Index: the unique index of the plans. Lock: none.
SELECT id, shape_id, schema_name, body FROM keystep_plans WHERE id = ?1
