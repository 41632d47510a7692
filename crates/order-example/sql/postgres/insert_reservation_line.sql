-- Called by reserve_stock for each product, after take_stock: what was taken, at which price.
-- $1 reservation, $2 sku, $3 quantity, $4 unit price, $5 currency.
INSERT INTO {schema}.reservation_lines (reservation, sku, qty, unit_price, currency)
VALUES ($1, $2, $3, $4, $5)
