-- Deletes all data of the shop and of the controls but the clock, and fills the shelves again.
DELETE FROM orders;
DELETE FROM reservation_lines;
DELETE FROM reservations;
DELETE FROM stock;
DELETE FROM test_faults;
DELETE FROM test_counters;
DELETE FROM test_events;
DELETE FROM test_settings WHERE name <> 'clock';
