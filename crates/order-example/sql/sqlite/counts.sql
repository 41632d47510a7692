-- Called by the demo to count what really happened. Scans both tables; they are its own.
SELECT
    (SELECT count(*) FROM orders) AS orders,
    (SELECT count(DISTINCT reservation) FROM reservation_lines) AS reservations
