-- Called by reserve_stock for each product, after take_stock: what was taken.
-- $1 reservation, $2 sku, $3 quantity.
INSERT INTO reservation_lines (reservation, sku, qty)
VALUES ($1, $2, $3)
