-- Called by create_order in its enlisted transaction; the engine commits it with the checkpoint.
-- $1 run, $2 request id, $3 reservation, $4 payment reference, $5 total, $6 currency, $7 card,
-- $8 comment. The number of the day comes from the largest id, safe because there is one writer.
-- Leans on the unique indexes of run and order_nr; holds the file's write lock until the commit.
INSERT INTO orders (
    id, order_nr, run, request_id, status, reservation, payment_ref,
    total, currency, card_id, comment, created_at
)
SELECT
    next.id,
    strftime('%Y%m%d', 'now') || '-' || printf('%06d', next.id),
    $1, $2, 'confirmed', $3, $4, $5, $6, $7, $8,
    strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
FROM (SELECT coalesce(max(id), 0) + 1 AS id FROM orders) AS next
RETURNING order_nr, status, created_at
