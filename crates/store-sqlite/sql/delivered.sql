-- Called by: delivered, in the writer's transaction.
-- Index: the unique index of the message's id. Lock: the database's write lock.
-- ?1 is a JSON array of hexadecimal ids.
DELETE FROM keystep_outbox WHERE id IN (SELECT unhex(value) FROM json_each(?1))
