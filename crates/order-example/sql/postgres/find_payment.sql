-- Called to show a payment. $1 owner, $2 payment id.
-- One row of the primary key of payments; takes no lock.
SELECT
    payment_id, order_nr, amount, currency,
    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS created_at
FROM {schema}.payments
WHERE owner = $1 AND payment_id = $2
