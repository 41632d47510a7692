-- Called after order_to_pay, in its transaction. $1 order number, $2 execution that pays, $3 key under
-- which it asks the payment provider.
UPDATE orders
SET paying = $2, paying_key = $3
WHERE order_nr = $1
