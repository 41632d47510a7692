-- Called by record_payment in its enlisted transaction; the engine commits it with the checkpoint.
-- $1 payment id, $2 run, $3 owner, $4 order number, $5 amount, $6 currency, $7 method, $8 charge.
-- Leans on the unique indexes of payments.
INSERT INTO {schema}.payments (
    payment_id, run, owner, order_nr, amount, currency, method, charge, created_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now())
RETURNING
    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS created_at
