-- Called by the demo to count what really happened. Scans both tables; they are its own.
SELECT
    (SELECT count(*) FROM {shop}.orders) AS orders,
    (SELECT count(*) FROM {shop}.reservations) AS reservations
