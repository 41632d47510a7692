-- Called before an offer is ordered: was it ordered already? $1 owner, $2 request id.
-- One row of the unique index of owner and request_id; takes no lock.
SELECT
    order_nr, request_id, status, version, orders_version, cart_id, items, total, currency,
    payment, delivery, delivery_status, comment, address,
    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS created_at
FROM {schema}.orders
WHERE owner = $1 AND request_id = $2
