-- Forgets messages that were delivered.
--
-- Called by `delivered`.
-- Index: outbox_id_key.
-- Lock: the deleted rows.
DELETE FROM {schema}.outbox AS m
WHERE m.id = ANY ($1::uuid[])
