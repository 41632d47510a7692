-- Called before money is taken for an order, and before it is cancelled. $1 owner, $2 order number.
-- One row of the index of order_nr; locks the row until the transaction ends.
SELECT status, total, paid, paying, paying_key
FROM {schema}.orders
WHERE owner = $1 AND order_nr = $2
FOR UPDATE
