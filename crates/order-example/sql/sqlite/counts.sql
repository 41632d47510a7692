-- Called by the demo and the tests to count what really happened. Scans the tables; they are their own.
SELECT
    (SELECT count(*) FROM orders) AS orders,
    (SELECT count(DISTINCT reservation) FROM reservation_lines) AS reservations,
    (SELECT count(*) FROM payments) AS payments
