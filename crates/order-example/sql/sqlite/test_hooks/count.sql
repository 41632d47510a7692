-- Counts something that was done. By the primary key; locks the row.
INSERT INTO test_counters AS counter (name, times)
VALUES (?1, 1)
ON CONFLICT (name) DO UPDATE SET times = counter.times + 1;
