-- Called after order_to_pay, in its transaction. $1 order number, $2 execution that pays.
UPDATE {schema}.orders
SET paying = $2
WHERE order_nr = $1
