-- Called to show a payment. $1 owner, $2 payment id.
-- One row of the primary key of payments; takes no lock.
SELECT
    payment_id, order_nr, amount, currency,
    created_at
FROM payments
WHERE owner = $1 AND payment_id = $2
