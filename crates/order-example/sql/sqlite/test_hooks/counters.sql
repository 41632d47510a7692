-- What was counted. A handful of rows.
SELECT name, CAST(times AS TEXT) FROM test_counters;
