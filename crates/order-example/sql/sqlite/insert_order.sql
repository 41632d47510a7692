-- Called by create_order in its enlisted transaction; the engine commits it with the checkpoint.
-- $1 run, $2 owner, $3 request id, $4 version of the list, $5 cart, $6 reservation, $7 authorization,
-- $8 items, $9 total, $10 currency, $11 payment, $12 delivery, $13 comment.
-- The number comes from the largest id, safe because there is one writer.
-- Leans on the unique indexes of orders; holds the file's write lock until the commit.
INSERT INTO orders (
    id, order_nr, run, owner, request_id, status, version, orders_version, cart_id, reservation,
    payment_ref, items, total, currency, payment, delivery, comment, created_at
)
SELECT
    next.id,
    strftime('%Y%m%d', 'now') || '-' || printf('%06d', next.id),
    $1, $2, $3, 'confirmed', 1, $4, $5, $6,
    $7, $8, $9, $10, $11, $12, $13, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
FROM (SELECT coalesce(max(id), 0) + 1 AS id FROM orders) AS next
RETURNING order_nr, created_at
