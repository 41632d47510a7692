-- Called by record_payment after insert_payment: so much more is paid, and the order is let go.
-- $1 order number, $2 amount, $3 execution that holds it; no row: it does not. One row of the index of order_nr; the writer's transaction holds the file's write lock.
UPDATE orders
SET paid = paid + $2, paying = NULL, paying_key = NULL
WHERE order_nr = $1 AND paying = $3
