-- Called first in each transaction that holds an order for a payment or lets it go: an owner of the
-- execution that was given up does neither any more. $1 execution, $2 epoch of the owner.
-- No row: a later owner was here.
-- Leans on the primary key of payers; locks the row until the transaction ends.
INSERT INTO {schema}.payers (execution, epoch)
VALUES ($1, $2)
ON CONFLICT (execution) DO UPDATE SET epoch = excluded.epoch
WHERE payers.epoch <= excluded.epoch
RETURNING epoch
