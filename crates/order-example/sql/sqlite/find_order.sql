-- Called to show an order. $1 order number.
-- One row of the unique index of order_nr; takes no lock.
SELECT order_nr, request_id, status, reservation, total, currency, card_id, comment, created_at
FROM orders
WHERE order_nr = $1
