-- Called by create_order in its enlisted transaction; the engine commits it with the checkpoint.
-- $1 run, $2 owner, $3 request id, $4 version of the list, $5 cart, $6 reservation, $7 authorization,
-- $8 items, $9 total, $10 currency, $11 payment, $12 delivery, $13 comment.
-- A rolled back transaction leaves a gap in the numbers, never a number used twice.
-- Leans on the unique indexes of orders; locks nothing but its own row.
INSERT INTO {schema}.orders (
    order_nr, run, owner, request_id, status, version, orders_version, cart_id, reservation,
    payment_ref, items, total, currency, payment, delivery, comment, created_at
)
VALUES (
    to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')
    || '-' || to_char(nextval('{schema}.order_numbers'), 'FM999999000000'),
    $1, $2, $3, 'confirmed', 1, $4, $5, $6,
    $7, $8, $9, $10, $11, $12, $13, now()
)
RETURNING
    order_nr,
    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS created_at
