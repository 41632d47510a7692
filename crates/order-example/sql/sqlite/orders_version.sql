-- Called to tell the version of a customer's list of orders, and, after hold_cart, to raise it.
-- $1 owner. The end of a range of the unique index of owner and orders_version; takes no lock.
SELECT coalesce(max(orders_version), 0)
FROM orders
WHERE owner = $1
