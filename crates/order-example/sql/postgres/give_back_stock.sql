-- Called by release_stock for each product that is held back, in the order of sku.
-- $1 sku, $2 quantity. Leans on the primary key of stock; locks the row until the transaction ends.
UPDATE {schema}.stock
SET available = available + $2
WHERE sku = $1
