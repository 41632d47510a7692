-- Called when an order is cancelled: what is held back for it? $1 order number.
-- One row of the index of order_nr; takes no lock.
SELECT reservation
FROM {schema}.orders
WHERE order_nr = $1
