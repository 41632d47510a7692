-- Called by release_stock for each product that is held back, in the order of sku.
-- $1 sku, $2 quantity. Leans on the primary key of stock; the writer's transaction holds the file's write lock.
UPDATE stock
SET available = available + $2
WHERE sku = $1
