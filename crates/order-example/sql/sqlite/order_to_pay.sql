-- Called before money is taken for an order, and before it is cancelled. $1 owner, $2 order number.
-- One row of the index of order_nr; the writer's transaction holds the file's write lock.
SELECT status, total, paid, paying, paying_key
FROM orders
WHERE owner = $1 AND order_nr = $2
