-- Called first in each transaction that changes a reservation: nobody else changes it meanwhile, and an
-- owner of the execution that was given up does not change it any more.
-- $1 idempotency key of the step, $2 epoch of the owner. No row: a later owner was here.
-- Leans on the primary key of reservations; locks the row until the transaction ends.
INSERT INTO {schema}.reservations (reservation, epoch)
VALUES ($1, $2)
ON CONFLICT (reservation) DO UPDATE SET epoch = excluded.epoch
WHERE reservations.epoch <= excluded.epoch
RETURNING epoch
