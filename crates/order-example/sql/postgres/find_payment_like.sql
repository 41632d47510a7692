-- Called where equal payments under different keys are refused. $1 owner, $2 order number, $3 amount,
-- $4 currency, $5 method. A range of the index payments_of_order; takes no lock.
SELECT
    payment_id, order_nr, amount, currency,
    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS created_at
FROM {schema}.payments
WHERE owner = $1 AND order_nr = $2 AND amount = $3 AND currency = $4 AND method = $5
ORDER BY payments.created_at DESC
LIMIT 1
