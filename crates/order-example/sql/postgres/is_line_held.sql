-- Called by reserve_stock for each product: was it taken by an earlier attempt?
-- $1 reservation, $2 sku. One row of the primary key of reservation_lines.
SELECT EXISTS (SELECT 1 FROM {schema}.reservation_lines WHERE reservation = $1 AND sku = $2)
