-- Called before money is taken for an order. $1 owner, $2 order number.
-- One row of the index of order_nr; locks the row until the transaction ends.
SELECT status, total, paid, paying
FROM {schema}.orders
WHERE owner = $1 AND order_nr = $2
FOR UPDATE
