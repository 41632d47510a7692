-- Says something else, in place of what was said before. By the primary key; locks the row.
INSERT INTO {schema}.test_settings (name, value)
VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;
