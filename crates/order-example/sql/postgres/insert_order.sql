-- Called by create_order in its enlisted transaction; the engine commits it with the checkpoint.
-- $1 run, $2 request id, $3 reservation, $4 payment reference, $5 total, $6 currency, $7 card,
-- $8 comment. A rolled back transaction leaves a gap in the numbers, never a number used twice.
-- Leans on the unique indexes of run and order_nr; locks nothing but its own row.
INSERT INTO {schema}.orders (
    order_nr, run, request_id, status, reservation, payment_ref,
    total, currency, card_id, comment, created_at
)
VALUES (
    to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')
    || '-' || to_char(nextval('{schema}.order_numbers'), 'FM999999000000'),
    $1, $2, 'confirmed', $3, $4, $5, $6, $7, $8,
    now()
)
RETURNING
    order_nr, status,
    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS created_at
