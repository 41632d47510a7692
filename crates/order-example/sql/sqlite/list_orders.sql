-- Called to show the orders of a customer, the oldest first. One statement, and so one moment: the
-- highest orders_version in it is the version of this list. $1 owner.
-- A range of the unique index of owner and orders_version; takes no lock.
SELECT
    order_nr, request_id, status, version, orders_version, cart_id, items, total, currency,
    payment, delivery, delivery_status, comment, address,
    created_at
FROM orders
WHERE owner = $1
ORDER BY created_at, order_nr
