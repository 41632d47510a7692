-- The fault that an attempt of a step meets, one time less from then on. By the primary key; locks the row.
UPDATE {schema}.test_faults
SET remaining = remaining - 1
WHERE step = $1 AND (remaining IS NULL OR remaining > 0)
RETURNING step, fault;
