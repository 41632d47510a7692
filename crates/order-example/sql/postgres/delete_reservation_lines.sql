-- Called by release_stock when all is given back. The reservation's own row stays, and with it the
-- epoch of whoever released it. $1 reservation. A range of the primary key of reservation_lines.
DELETE FROM {schema}.reservation_lines
WHERE reservation = $1
