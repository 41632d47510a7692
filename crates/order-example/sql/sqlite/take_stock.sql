-- Called by reserve_stock for each product: takes it from the shelf if there is enough.
-- $1 sku, $2 quantity. No row is changed when there is not.
-- Leans on the primary key of stock; the writer's transaction holds the file's write lock.
UPDATE stock
SET available = available - $2
WHERE sku = $1 AND available >= $2
