-- Called by the demo and the tests to count what really happened. Scans the tables; they are their own.
SELECT
    (SELECT count(*) FROM {schema}.orders) AS orders,
    (SELECT count(DISTINCT reservation) FROM {schema}.reservation_lines) AS reservations,
    (SELECT count(*) FROM {schema}.payments) AS payments
