-- Called by reserve_stock, first in its transaction: claims the reservation's key.
-- $1 idempotency key of the step. No row is inserted when an earlier attempt has committed.
-- Leans on the primary key of reservations; waits for another attempt that is about to commit.
INSERT INTO {schema}.reservations (reservation)
VALUES ($1)
ON CONFLICT (reservation) DO NOTHING
