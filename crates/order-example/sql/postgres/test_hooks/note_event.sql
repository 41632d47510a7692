-- Notes a message that was delivered, once. By the primary key; locks the row.
INSERT INTO {schema}.test_events (id, topic)
VALUES ($1, $2)
ON CONFLICT (id) DO NOTHING;
