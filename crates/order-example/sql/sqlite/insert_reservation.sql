-- Called by reserve_stock, first in its transaction: claims the reservation's key.
-- $1 idempotency key of the step. No row is inserted when an earlier attempt has committed.
-- Leans on the primary key of reservations; the writer's transaction holds the file's write lock.
INSERT INTO reservations (reservation)
VALUES ($1)
ON CONFLICT (reservation) DO NOTHING
