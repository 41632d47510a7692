-- Called by release_stock, and to show an order.
-- $1 reservation. A range of the primary key of reservation_lines; takes no lock.
SELECT sku, qty, unit_price, currency
FROM reservation_lines
WHERE reservation = $1
ORDER BY sku
