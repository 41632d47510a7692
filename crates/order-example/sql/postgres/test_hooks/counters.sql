-- What was counted. A handful of rows.
SELECT name, CAST(times AS text) FROM {schema}.test_counters;
