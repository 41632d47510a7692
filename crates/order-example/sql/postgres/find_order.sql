-- Called to show an order. $1 order number.
-- One row of the primary key of orders; takes no lock.
SELECT
    order_nr, request_id, status, reservation, total, currency, card_id, comment,
    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS created_at
FROM {schema}.orders
WHERE order_nr = $1
