-- Called to show an order, and before it is changed. $1 owner, $2 order number.
-- One row of the index of order_nr; takes no lock.
SELECT
    order_nr, request_id, status, version, orders_version, cart_id, items, total, currency,
    payment, delivery, delivery_status, comment, address,
    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS created_at
FROM {schema}.orders
WHERE owner = $1 AND order_nr = $2
