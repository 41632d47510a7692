-- Says what goes wrong with a step, in place of what was said before. By the primary key; locks the row.
INSERT INTO test_faults (step, fault, remaining)
VALUES (?1, ?2, CAST(nullif(?3, '') AS INTEGER))
ON CONFLICT (step) DO UPDATE SET fault = excluded.fault, remaining = excluded.remaining;
