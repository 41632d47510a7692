-- Called by record_payment in its enlisted transaction; the engine commits it with the checkpoint.
-- $1 payment id, $2 run, $3 owner, $4 order number, $5 amount, $6 currency, $7 method, $8 charge.
-- Leans on the unique indexes of payments.
INSERT INTO payments (
    payment_id, run, owner, order_nr, amount, currency, method, charge, created_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
RETURNING created_at
