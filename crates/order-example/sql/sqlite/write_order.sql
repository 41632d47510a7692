-- Called when an order has a new version. $1 order number, $2 status, $3 version, $4 version of the
-- list, $5 comment, $6 address. After hold_cart, in its transaction.
-- One row of the index of order_nr; the writer's transaction holds the file's write lock.
UPDATE orders
SET status = $2, version = $3, orders_version = $4, comment = $5, address = $6
WHERE order_nr = $1
