-- Called by whoever releases a reservation.
-- $1 reservation. A range of the primary key of reservation_lines; takes no lock. In the order of sku,
-- so that two who give back can not wait for each other in a circle.
SELECT sku, qty
FROM reservation_lines
WHERE reservation = $1
ORDER BY sku
