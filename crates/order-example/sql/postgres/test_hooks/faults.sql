-- Which steps are to be disturbed. Read before each step; a handful of rows.
SELECT step, fault FROM {schema}.test_faults;
