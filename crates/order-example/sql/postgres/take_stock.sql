-- Called by reserve_stock for each product: takes it from the shelf if there is enough.
-- $1 sku, $2 quantity. No row is changed when there is not.
-- Leans on the primary key of stock; locks the row until the transaction ends. A transaction takes one
-- product only, so that two checkouts can not wait for each other in a circle.
UPDATE {schema}.stock
SET available = available - $2
WHERE sku = $1 AND available >= $2
