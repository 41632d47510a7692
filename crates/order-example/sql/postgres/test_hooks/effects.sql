-- What the tables show of what was done: one row for each effect that is written with its checkpoint,
-- and the messages. Reads all of three tables, for a test's eyes.
SELECT 'steps.create_order', CAST(count(order_nr) AS text) FROM {schema}.orders
UNION ALL
SELECT 'steps.record_payment', CAST(count(payment_id) AS text) FROM {schema}.payments
UNION ALL
SELECT 'events.' || topic, CAST(count(id) AS text) FROM {schema}.test_events GROUP BY topic;
