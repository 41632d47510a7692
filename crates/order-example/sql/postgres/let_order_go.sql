-- Called after claim_payer, when it is known that no money was taken. $1 order number, $2 execution that wanted to pay.
-- One row of the index of order_nr; locks the row until the transaction ends.
UPDATE {schema}.orders
SET paying = NULL, paying_key = NULL
WHERE order_nr = $1 AND paying = $2
